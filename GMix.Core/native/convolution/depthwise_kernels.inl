// The kernels of depthwise.h for one instruction set: the file that includes this one first chooses the instructions by a pragma, and names
// the table by GMX_TABLE and the lanes of a register by GMX_WIDEST. There is nothing but plain language in here: an inline function of a
// library, compiled for AVX-512, could end up being the one that every file uses.
//
// Each kernel takes a vector of channels at a time along a row. Its nine weights (or nine sums) stay in registers, every input is read once a
// row, and the values that neighbouring positions share are handed on from one position to the next.
#include "depthwise.h"
#pragma GCC diagnostic ignored "-Wpsabi"
#ifndef GMX_WIDEST
#define GMX_WIDEST 16
#endif
#define GMX_INLINE inline __attribute__((always_inline))

namespace gmx {
namespace {

template <int L> struct Vec;
// spelled out for both lengths: __builtin_convertvector takes no type that depends on a template
#define GMX_VECTOR(L)                                                                                          \
    template <> struct Vec<L> {                                                                                \
        typedef float F __attribute__((vector_size(L * 4)));                                                   \
        typedef uint32_t U __attribute__((vector_size(L * 4)));                                                \
        typedef uint16_t H __attribute__((vector_size(L * 2)));                                                \
        static GMX_INLINE U widened(const H& h) { return __builtin_convertvector(h, U); }                             \
        static GMX_INLINE H narrowed(const U& u) { return __builtin_convertvector(u, H); }                            \
    }
GMX_VECTOR(8);
GMX_VECTOR(16);

template <int L> GMX_INLINE typename Vec<L>::F load(const float* p) {
    typename Vec<L>::F v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
template <int L> GMX_INLINE typename Vec<L>::F load(const uint16_t* p) {
    typename Vec<L>::H h;
    __builtin_memcpy(&h, p, sizeof h);
    return (typename Vec<L>::F)(Vec<L>::widened(h) << 16);
}
template <int L> GMX_INLINE void store(float* p, const typename Vec<L>::F& v) { __builtin_memcpy(p, &v, sizeof v); }
// the nearest bfloat16, ties to even; NaN stays NaN
template <int L> GMX_INLINE void store(uint16_t* p, const typename Vec<L>::F& v) {
    using U = typename Vec<L>::U;
    const U u = (U)v, r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, nan = (U)(v != v);
    const typename Vec<L>::H h = Vec<L>::narrowed((r & ~nan) | (nan & 0x7fc0u));
    __builtin_memcpy(p, &h, sizeof h);
}

// Channels of one step: a whole vector, or the last few, by way of a copy so that nothing outside the tensor is touched.
template <int L, bool Whole>
struct Lanes {
    using F = typename Vec<L>::F;
    int n;

    template <class E> GMX_INLINE F get(const E* p) const {
        if (Whole) return load<L>(p);
        E t[L] = {};
        for (int i = 0; i < n; ++i) t[i] = p[i];
        return load<L>(t);
    }
    template <class E> GMX_INLINE void put(E* p, const F& v) const {
        if (Whole) return store<L>(p, v);
        E t[L];
        store<L>(t, v);
        for (int i = 0; i < n; ++i) p[i] = t[i];
    }
};

template <bool B> struct Flag { static constexpr bool value = B; };

// A row of positions at a vector of channels. A row outside the image is one zero that is met again and again.
template <class E>
struct Row {
    const E* p;
    int64_t step;
    GMX_INLINE const E* at(int64_t i) const { return p + i * step; }
};

alignas(64) const uint16_t kZeros[32] = {}; // as many bytes as the widest vector of floats

template <class E>
GMX_INLINE Row<E> row_of(const E* image, int64_t row, int64_t rows, int64_t columns, int64_t channels, int64_t c) {
    if (row < 0 || row >= rows) return {reinterpret_cast<const E*>(kZeros), 0};
    return {image + row * columns * channels + c, channels};
}

// Calls body(lanes, row, channel) for every row and vector of channels. Rows come in strips that stay in the first-level cache, so that a
// vector is not a cache line that was fetched for half its bytes.
template <class E, class Body>
GMX_INLINE void sweep(int64_t rows, int64_t columns, int64_t channels, const Body& body) {
    const int64_t bytes = columns * channels * static_cast<int64_t>(sizeof(E));
    int64_t strip = 16384 / (bytes > 0 ? bytes : 1);
    if (strip < 1) strip = 1;
    for (int64_t from = 0; from < rows; from += strip) {
        const int64_t to = from + strip < rows ? from + strip : rows;
        int64_t c = 0;
        for (; c + GMX_WIDEST <= channels; c += GMX_WIDEST) body(Lanes<GMX_WIDEST, true>{GMX_WIDEST}, from, to, c);
        for (; c + 8 <= channels; c += 8) body(Lanes<8, true>{8}, from, to, c);
        if (c < channels) body(Lanes<8, false>{static_cast<int>(channels - c)}, from, to, c);
    }
}

// y = correlation of x with the weights, or, Flipped, with the weights turned by half a turn: the input's gradient at stride 1.
template <class E, int Stride, bool Flipped>
void correlate(const DepthwiseShape& s, const E* x, const float* weights, E* y) {
    sweep<E>(s.oh, s.ow, s.c, [&](auto lanes, int64_t from, int64_t to, int64_t c) {
        using F = typename decltype(lanes)::F;
        F w[3][3];
        for (int k = 0; k < 9; ++k) w[k / 3][k % 3] = lanes.get(weights + (Flipped ? 8 - k : k) * s.c + c);
        for (int64_t r = from; r < to; ++r) {
            const Row<E> a = row_of(x, r * Stride - 1, s.h, s.w, s.c, c), b = row_of(x, r * Stride, s.h, s.w, s.c, c), d = row_of(x, r * Stride + 1, s.h, s.w, s.c, c);
            E* out = y + r * s.ow * s.c + c;
            if (Stride == 1) {
                F before = {}, here = {}; // sums of the outputs to the left of the column and at it
                for (int64_t i = 0; i < s.w; ++i) {
                    const F p = lanes.get(a.at(i)), q = lanes.get(b.at(i)), t = lanes.get(d.at(i));
                    const F done = before + p * w[0][2] + q * w[1][2] + t * w[2][2];
                    if (i > 0) lanes.put(out + (i - 1) * s.c, done);
                    before = here + p * w[0][1] + q * w[1][1] + t * w[2][1];
                    here = p * w[0][0] + q * w[1][0] + t * w[2][0];
                }
                lanes.put(out + (s.w - 1) * s.c, before);
            } else {
                F carried = {};
                for (int64_t o = 0; o < s.ow; ++o) {
                    F sum = carried + lanes.get(a.at(2 * o)) * w[0][1] + lanes.get(b.at(2 * o)) * w[1][1] + lanes.get(d.at(2 * o)) * w[2][1];
                    if (2 * o + 1 < s.w) {
                        const F p = lanes.get(a.at(2 * o + 1)), q = lanes.get(b.at(2 * o + 1)), t = lanes.get(d.at(2 * o + 1));
                        sum += p * w[0][2] + q * w[1][2] + t * w[2][2];
                        carried = p * w[0][0] + q * w[1][0] + t * w[2][0];
                    }
                    lanes.put(out + o * s.c, sum);
                }
            }
        }
    });
}

// The input's gradient at stride 2. Even rows met the filter's middle row only, odd rows its last and, one output row further, its first;
// columns likewise.
template <class E>
void input_gradient_2(const DepthwiseShape& s, const E* dy, const float* weights, E* dx) {
    sweep<E>(s.h, s.w, s.c, [&](auto lanes, int64_t from, int64_t to, int64_t c) {
        using F = typename decltype(lanes)::F;
        F w[3][3];
        for (int k = 0; k < 9; ++k) w[k / 3][k % 3] = lanes.get(weights + k * s.c + c);
        for (int64_t r = from; r < to; ++r) {
            E* out = dx + r * s.w * s.c + c;
            F carried = {};
            const auto along = [&](auto two, const Row<E>& a, const F (&u)[3], const Row<E>& b, const F (&v)[3]) {
                for (int64_t o = 0; o < s.ow; ++o) {
                    const F g = lanes.get(a.at(o));
                    F even = g * u[1], next = g * u[2], odd = carried + g * u[0];
                    if (decltype(two)::value) {
                        const F h = lanes.get(b.at(o));
                        even += h * v[1];
                        next += h * v[2];
                        odd += h * v[0];
                    }
                    if (o > 0) lanes.put(out + (2 * o - 1) * s.c, odd);
                    lanes.put(out + 2 * o * s.c, even);
                    carried = next;
                }
            };
            const Row<E> above = row_of(dy, r / 2, s.oh, s.ow, s.c, c);
            if (r % 2 == 0) along(Flag<false>(), above, w[1], above, w[1]);
            else along(Flag<true>(), above, w[2], row_of(dy, r / 2 + 1, s.oh, s.ow, s.c, c), w[0]);
            if (s.w % 2 == 0) lanes.put(out + (s.w - 1) * s.c, carried);
        }
    });
}

template <class E, int Stride>
void weight_gradient(const DepthwiseShape& s, const E* x, const E* dy, float* dw) {
    sweep<E>(s.oh, s.ow, s.c, [&](auto lanes, int64_t from, int64_t to, int64_t c) {
        using F = typename decltype(lanes)::F;
        F sum[3][3] = {};
        for (int64_t r = from; r < to; ++r) {
            const Row<E> a = row_of(x, r * Stride - 1, s.h, s.w, s.c, c), b = row_of(x, r * Stride, s.h, s.w, s.c, c), d = row_of(x, r * Stride + 1, s.h, s.w, s.c, c);
            const Row<E> g = row_of(dy, r, s.oh, s.ow, s.c, c);
            F left = {}, here = lanes.get(g.at(0));
            for (int64_t o = 0; o < s.ow; ++o) {
                F right = {};
                if (o + 1 < s.ow) right = lanes.get(g.at(o + 1));
                F p = lanes.get(a.at(o * Stride)), q = lanes.get(b.at(o * Stride)), t = lanes.get(d.at(o * Stride));
                sum[0][1] += p * here;
                sum[1][1] += q * here;
                sum[2][1] += t * here;
                if (Stride == 2) {
                    if (2 * o + 1 == s.w) continue; // an odd width ends with a column that only the filter's middle met
                    p = lanes.get(a.at(2 * o + 1));
                    q = lanes.get(b.at(2 * o + 1));
                    t = lanes.get(d.at(2 * o + 1));
                }
                // the column to the right of an output at stride 2, the output's own at stride 1
                const F after = Stride == 2 ? here : left;
                sum[0][2] += p * after;
                sum[1][2] += q * after;
                sum[2][2] += t * after;
                sum[0][0] += p * right;
                sum[1][0] += q * right;
                sum[2][0] += t * right;
                left = here;
                here = right;
            }
        }
        for (int k = 0; k < 9; ++k) lanes.put(dw + k * s.c + c, lanes.get(dw + k * s.c + c) + sum[k / 3][k % 3]);
    });
}

template <class E>
void forward(const DepthwiseShape& s, const E* x, const float* weights, E* y) {
    (s.stride == 1 ? correlate<E, 1, false> : correlate<E, 2, false>)(s, x, weights, y);
}
template <class E>
void input_gradient(const DepthwiseShape& s, const E* dy, const float* weights, E* dx) {
    (s.stride == 1 ? correlate<E, 1, true> : input_gradient_2<E>)(s, dy, weights, dx);
}
template <class E>
void weight_gradient_of(const DepthwiseShape& s, const E* x, const E* dy, float* dw) {
    (s.stride == 1 ? weight_gradient<E, 1> : weight_gradient<E, 2>)(s, x, dy, dw);
}

} // namespace

template <> const DepthwiseKernels<float> DepthwiseTables<float>::GMX_TABLE{forward<float>, input_gradient<float>, weight_gradient_of<float>};
template <> const DepthwiseKernels<uint16_t> DepthwiseTables<uint16_t>::GMX_TABLE{forward<uint16_t>, input_gradient<uint16_t>, weight_gradient_of<uint16_t>};

} // namespace gmx
