// The kernels of separable.h for one instruction set, which the file that includes this one chooses as in convolution/lanes.inl; it names the table by
// GMX_TABLE. A vector of channels goes through the whole image; the rows that neighbouring rows share lie as floats in a ring of three.
#include "separable.h"
#include "convolution/lanes.inl"

namespace gmx {
namespace {

// y = (x - mean) * scale + bias. ReLU lets NaN pass, as in torch.relu: a diverged network must look diverged.
struct Norm {
    F mean, scale, bias;
    Norm(Affine all, int64_t c) : mean(load(all.mean + c)), scale(load(all.scale + c)), bias(load(all.bias + c)) {}
    GMX_INLINE F of(const F& from_mean) const { return from_mean * scale + bias; }
};
GMX_INLINE F relu(const F& v) { const F zero = {}; return v < zero ? zero : v; }
GMX_INLINE F where_on(const F& y, const F& g) { const F zero = {}; return y <= zero ? zero : g; }

// Float sums of a few positions and double ones of all, for one vector of channels.
struct Sums {
    F first = {}, second = {};
    int64_t counted = 0;
    GMX_INLINE void add(const F& v, const F& w) { first += v; second += w; }
    // after every row, of `more` positions: goes on to double where another row would be too many
    GMX_INLINE void row(int64_t more, double* s1, double* s2) {
        counted += more;
        if (counted + more > kRowsPerFloatSum) flush(s1, s2);
    }
    GMX_INLINE void flush(double* s1, double* s2) {
        for (int i = 0; i < kWide; ++i) { s1[i] += first[i]; s2[i] += second[i]; }
        first = second = F{};
        counted = 0;
    }
};

// Three rows of `width` positions with a zero at both ends, of one vector of channels; row r lies at r % 3. Rows outside the image are zeros.
struct Ring {
    float *memory, *zeros;
    int64_t width, rows; // rows of the image
    Ring(float* memory, float* zeros, int64_t width, int64_t rows) : memory(memory), zeros(zeros), width(width), rows(rows) {
        for (int64_t i = 0; i < 3 * length(); ++i) memory[i] = 0;
    }
    int64_t length() const { return (width + 2) * kWide; }
    float* at(int64_t row) const { return memory + row % 3 * length(); }
    const float* get(int64_t row) const { return row < 0 || row >= rows ? zeros : at(row); }
};

// sum over taps of three neighbouring positions with one row of the filter
GMX_INLINE F three(const float* p, const F* w) { return load(p) * w[0] + load(p + kWide) * w[1] + load(p + 2 * kWide) * w[2]; }

// Writes ReLU(norm(row)) of an image of c channels to a ring.
template <class E>
GMX_INLINE void activate(const E* row, int64_t c, const Norm& norm, const Ring& ring, int64_t r) {
    float* to = ring.at(r) + kWide;
    for (int64_t i = 0; i < ring.width; ++i) store(to + i * kWide, relu(norm.of(load(row + i * c) - norm.mean)));
}

template <class E, int Stride>
void forward_at(const DepthwiseShape& s, const E* z, Affine first, const float* weights, E* u, const float* shift, double* s1, double* s2, float* scratch, int64_t c) {
    const Norm norm(first, c);
    const F k = load(shift + c);
    F w[9];
    for (int i = 0; i < 9; ++i) w[i] = load(weights + i * s.c + c);
    const Ring a(scratch, scratch + 3 * (s.w + 2) * kWide, s.w, s.h);
    for (int64_t i = 0; i < a.length(); ++i) a.zeros[i] = 0;
    Sums sums;
    int64_t made = 0;
    for (int64_t r = 0; r < s.oh; ++r) {
        for (; made < s.h && made <= r * Stride + 1; ++made) activate(z + made * s.w * s.c + c, s.c, norm, a, made);
        const float *p = a.get(r * Stride - 1), *q = a.get(r * Stride), *t = a.get(r * Stride + 1);
        E* to = u + r * s.ow * s.c + c;
        for (int64_t o = 0; o < s.ow; ++o) {
            const int64_t i = o * Stride * kWide;
            const F v = kept(to + o * s.c, three(p + i, w) + three(q + i, w + 3) + three(t + i, w + 6)) - k;
            sums.add(v, v * v);
        }
        sums.row(s.ow, s1 + c, s2 + c);
    }
    sums.flush(s1 + c, s2 + c);
}

template <class E>
void forward(const DepthwiseShape& s, const E* z, Affine first, const float* weights, E* u, const float* shift, double* s1, double* s2, float* scratch) {
    const auto run = s.stride == 1 ? forward_at<E, 1> : forward_at<E, 2>;
    for (int64_t c = 0; c < s.c; c += kWide) run(s, z, first, weights, u, shift, s1, s2, scratch, c);
}

// The gradient of one row of u as floats.
template <class E>
GMX_INLINE void gradient_row(const E* u, const E* g, int64_t c, const Norm& norm, const F& a, const F& b, const F& d, const Ring& ring, int64_t r) {
    float* to = ring.at(r) + kWide;
    for (int64_t o = 0; o < ring.width; ++o) {
        const F v = load(u + o * c) - norm.mean;
        store(to + o * kWide, where_on(norm.of(v), load(g + o * c)) * a + (v * b + d));
    }
}

// Adds one row of outputs to the weights' gradient.
template <int Stride>
GMX_INLINE void weight_row(const float* p, const float* q, const float* t, const float* du, int64_t width, F* sum) {
    F n[9];
    for (int i = 0; i < 9; ++i) n[i] = sum[i];
    for (int64_t o = 0; o < width; ++o) {
        const F g = load(du + (o + 1) * kWide);
        const int64_t i = o * Stride * kWide;
        for (int j = 0; j < 3; ++j) {
            n[j] += g * load(p + i + j * kWide);
            n[3 + j] += g * load(q + i + j * kWide);
            n[6 + j] += g * load(t + i + j * kWide);
        }
    }
    for (int i = 0; i < 9; ++i) sum[i] = n[i];
}

// Writes one row of h and sums it: `value(i)` is the gradient of a at position i of the row.
template <class E, class Value>
GMX_INLINE void input_row(const E* z, const float* a, E* h, int64_t c, int64_t width, const F& mean, Sums& sums, const Value& value) {
    for (int64_t i = 0; i < width; ++i) {
        const F g = kept(h + i * c, where_on(load(a + (i + 1) * kWide), value(i)));
        sums.add(g, g * (load(z + i * c) - mean));
    }
}

template <class E, int Stride>
void backward_at(const DepthwiseShape& s, const E* z, Affine first, const float* weights, const E* u, Affine second, const E* g, GradAffine grad, E* h, float* dw, double* s1, double* s2,
                 float* scratch, int64_t c) {
    const Norm before(first, c), after(second, c);
    const F ga = load(grad.a + c), gb = load(grad.b + c), gd = load(grad.d + c);
    F w[9], sum[9] = {};
    for (int i = 0; i < 9; ++i) w[i] = load(weights + i * s.c + c);
    const int64_t three_rows = 3 * (s.w + 2) * kWide;
    float* zeros = scratch + 2 * three_rows;
    for (int64_t i = 0; i < (s.w + 2) * kWide; ++i) zeros[i] = 0;
    const Ring a(scratch, zeros, s.w, s.h), du(scratch + three_rows, zeros, s.ow, s.oh);
    Sums sums;
    // a row of z whose gradient is complete once u's rows up to that one have theirs
    const auto input = [&](int64_t y) {
        const E* from = z + y * s.w * s.c + c;
        E* to = h + y * s.w * s.c + c;
        const float* on = a.get(y);
        if (Stride == 1) {
            // u's row y + 1 met z's row y with the filter's first row, columns likewise: the filter turned by half a turn
            const float *p = du.get(y + 1), *q = du.get(y), *t = du.get(y - 1);
            const F turned[9] = {w[2], w[1], w[0], w[5], w[4], w[3], w[8], w[7], w[6]};
            input_row(from, on, to, s.c, s.w, before.mean, sums, [&](int64_t i) { return three(p + i * kWide, turned) + three(q + i * kWide, turned + 3) + three(t + i * kWide, turned + 6); });
        } else {
            // even rows met the filter's middle row only, odd rows its last and, one row of u further, its first; columns likewise
            const auto along = [&](const float* p, const F* v, int64_t i) {
                const float* at = p + (i / 2 + 1) * kWide;
                return i % 2 == 0 ? load(at) * v[1] : load(at) * v[2] + load(at + kWide) * v[0];
            };
            const float *p = du.get(y / 2), *q = du.get(y / 2 + 1);
            if (y % 2 == 0) input_row(from, on, to, s.c, s.w, before.mean, sums, [&](int64_t i) { return along(p, w + 3, i); });
            else input_row(from, on, to, s.c, s.w, before.mean, sums, [&](int64_t i) { return along(p, w + 6, i) + along(q, w, i); });
        }
        sums.row(s.w, s1 + c, s2 + c);
    };
    int64_t made = 0, done = 0;
    for (int64_t r = 0; r < s.oh; ++r) {
        for (; made < s.h && made <= r * Stride + 1; ++made) activate(z + made * s.w * s.c + c, s.c, before, a, made);
        gradient_row(u + r * s.ow * s.c + c, g + r * s.ow * s.c + c, s.c, after, ga, gb, gd, du, r);
        weight_row<Stride>(a.get(r * Stride - 1), a.get(r * Stride), a.get(r * Stride + 1), du.at(r), s.ow, sum);
        for (; done <= r * Stride - (Stride == 1 ? 1 : 0); ++done) input(done);
    }
    for (; done < s.h; ++done) input(done);
    sums.flush(s1 + c, s2 + c);
    for (int i = 0; i < 9; ++i) store(dw + i * s.c + c, load(dw + i * s.c + c) + sum[i]);
}

template <class E>
void backward(const DepthwiseShape& s, const E* z, Affine first, const float* weights, const E* u, Affine second, const E* g, GradAffine grad, E* h, float* dw, double* s1, double* s2, float* scratch) {
    const auto run = s.stride == 1 ? backward_at<E, 1> : backward_at<E, 2>;
    for (int64_t c = 0; c < s.c; c += kWide) run(s, z, first, weights, u, second, g, grad, h, dw, s1, s2, scratch, c);
}

} // namespace

template <> const SeparableKernels<float> SeparableTables<float>::GMX_TABLE{forward<float>, backward<float>};
template <> const SeparableKernels<uint16_t> SeparableTables<uint16_t>::GMX_TABLE{forward<uint16_t>, backward<uint16_t>};

} // namespace gmx
