// The kernels of batchnorm.h for one instruction set: the file that includes this one first chooses the instructions by a pragma, and names
// the table by GMX_TABLE, with GMX_AVX512 and GMX_BF16 where it may use those (GCC 12 defines no __AVX512F__ after a pragma). GCC's vector types become one register of AVX-512, two of AVX2, or four of SSE2. No library header may come
// in here: an inline function of it, compiled for AVX-512, could end up being the one that every file uses.
#include "batchnorm.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gmx {
namespace {

typedef float F __attribute__((vector_size(64)));
typedef int32_t I __attribute__((vector_size(64)));
typedef uint32_t U __attribute__((vector_size(64)));
typedef uint16_t H __attribute__((vector_size(32)));

#define GMX_INLINE inline __attribute__((always_inline))

GMX_INLINE F load(const float* p) { F v; __builtin_memcpy(&v, p, sizeof v); return v; }
GMX_INLINE void store(float* p, F v) { __builtin_memcpy(p, &v, sizeof v); }

#if defined(GMX_AVX512)
// GCC 12 halves and rejoins the vectors of these conversions; the intrinsics are one instruction each.
GMX_INLINE F widened(H h) { return (F)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)h), 16); }
GMX_INLINE H narrowed(const U& u) { return (H)_mm512_cvtepi32_epi16((__m512i)u); }
#else
GMX_INLINE F widened(H h) { return (F)(__builtin_convertvector(h, U) << 16); }
GMX_INLINE H narrowed(const U& u) { return __builtin_convertvector(u, H); }
#endif

// The nearest bfloat16, ties to even; NaN stays NaN.
#if defined(GMX_BF16)
GMX_INLINE H rounded(const F& v) { return (H)_mm512_cvtneps_pbh((__m512)v); }
#else
GMX_INLINE H rounded(const F& v) {
    U u = (U)v, r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    U nan = (U)(v != v);
    return narrowed((r & ~nan) | (nan & 0x7fc0u));
}
#endif

GMX_INLINE F load(const Bf16* p) { H h; __builtin_memcpy(&h, p, sizeof h); return widened(h); }
GMX_INLINE void store(Bf16* p, F v) { H h = rounded(v); __builtin_memcpy(p, &h, sizeof h); }

// What a value is once it has been stored.
GMX_INLINE F as_stored(const float*, F v) { return v; }
GMX_INLINE F as_stored(const Bf16*, F v) { return widened(rounded(v)); }

// A whole vector of channels, or the n that are left at the end of a row.
template <bool Whole, class E> GMX_INLINE F get(const E* p, int n) {
    if (Whole) return load(p);
    E t[kLanes] = {};
    for (int i = 0; i < n; ++i) t[i] = p[i];
    return load(t);
}
template <bool Whole, class E> GMX_INLINE void put(E* p, F v, int n) {
    if (Whole) return store(p, v);
    E t[kLanes];
    store(t, v);
    for (int i = 0; i < n; ++i) p[i] = t[i];
}

// NaN passes, as in torch.relu: a diverged network must look diverged.
GMX_INLINE F relu_of(const F& v) { return (F)((I)v & ~(I)(v < 0.f)); }
GMX_INLINE F where_on(const F& y, const F& g) { return (F)((I)g & ~(I)(y <= 0.f)); }

// Runs body.run<Whole, Rows>(row, channel, n) over all rows, several at a time so that per-channel numbers are read once for them.
constexpr int kPanel = 8;
template <class Body>
GMX_INLINE void sweep(int64_t rows, int64_t channels, const Body& body) {
    const int64_t whole = channels / kLanes * kLanes;
    const int left = static_cast<int>(channels - whole);
    int64_t r = 0;
    for (; r + kPanel <= rows; r += kPanel) {
        for (int64_t c = 0; c < whole; c += kLanes) body.template run<true, kPanel>(r, c, 0);
        if (left) for (int i = 0; i < kPanel; ++i) body.template run<false, 1>(r + i, whole, left);
    }
    for (; r < rows; ++r) {
        for (int64_t c = 0; c < whole; c += kLanes) body.template run<true, 1>(r, c, 0);
        if (left) body.template run<false, 1>(r, whole, left);
    }
}

// Runs a summing body over blocks of rows: float sums in scratch within a block, double ones over the blocks.
template <class Body>
GMX_INLINE void sum_up(int64_t rows, int64_t channels, Body body, double* s1, double* s2, float* scratch) {
    const int64_t length = padded(channels), step = kRowsPerFloatSum * channels;
    body.s1 = scratch;
    body.s2 = scratch + length;
    for (; rows > 0; rows -= kRowsPerFloatSum, body.advance(step)) {
        for (int64_t i = 0; i < 2 * length; ++i) scratch[i] = 0;
        sweep(rows < kRowsPerFloatSum ? rows : kRowsPerFloatSum, channels, body);
        for (int64_t i = 0; i < length; ++i) { s1[i] += body.s1[i]; s2[i] += body.s2[i]; }
    }
}

template <class E, bool Other>
struct Moments {
    const E *x, *other;
    E* sum;
    int64_t channels;
    const float* shift;
    float *s1, *s2;
    GMX_INLINE void advance(int64_t n) { x += n; if (Other) { other += n; sum += n; } }
    template <bool Whole, int Rows>
    GMX_INLINE void run(int64_t r, int64_t c, int n) const {
        F a0 = load(s1 + c), b0 = load(s2 + c), a1 = {}, b1 = {};
        const F k = load(shift + c);
        int64_t at = r * channels + c;
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i, at += channels) {
            F v = get<Whole>(x + at, n);
            if (Other) {
                v = as_stored(x, v + get<Whole>(other + at, n));
                put<Whole>(sum + at, v, n);
            }
            v -= k;
            if (i & 1) { a1 += v; b1 += v * v; }
            else { a0 += v; b0 += v * v; }
        }
        store(s1 + c, a0 + a1);
        store(s2 + c, b0 + b1);
    }
};

template <class E>
void moments(const E* x, const E* other, E* sum, int64_t rows, int64_t channels, const float* shift, double* s1, double* s2, float* scratch) {
    if (other) sum_up(rows, channels, Moments<E, true>{x, other, sum, channels, shift, nullptr, nullptr}, s1, s2, scratch);
    else sum_up(rows, channels, Moments<E, false>{x, other, sum, channels, shift, nullptr, nullptr}, s1, s2, scratch);
}

template <class E, bool Residual, bool Relu>
struct Apply {
    const E *x, *residual;
    E* y;
    int64_t channels;
    Affine affine;
    template <bool Whole, int Rows>
    GMX_INLINE void run(int64_t r, int64_t c, int n) const {
        const F m = load(affine.mean + c), s = load(affine.scale + c), b = load(affine.bias + c);
        int64_t at = r * channels + c;
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i, at += channels) {
            F v = (get<Whole>(x + at, n) - m) * s + b;
            if (Residual) v += get<Whole>(residual + at, n);
            put<Whole>(y + at, Relu ? relu_of(v) : v, n);
        }
    }
};

template <class E>
void apply(const E* x, const E* residual, E* y, int64_t rows, int64_t channels, Affine affine, bool relu) {
    if (residual) {
        if (relu) sweep(rows, channels, Apply<E, true, true>{x, residual, y, channels, affine});
        else sweep(rows, channels, Apply<E, true, false>{x, residual, y, channels, affine});
    } else {
        if (relu) sweep(rows, channels, Apply<E, false, true>{x, residual, y, channels, affine});
        else sweep(rows, channels, Apply<E, false, false>{x, residual, y, channels, affine});
    }
}

// How ReLU's mask is found: there is none, from its result, or by computing the normalised value again exactly as the forward pass did.
enum class Mask { None, FromResult, Again };

template <class E, Mask M, bool Two>
struct GradSums {
    const E *x, *g1, *g2, *y;
    E* g_out;
    int64_t channels;
    Affine affine;
    float *s1, *s2;
    GMX_INLINE void advance(int64_t n) {
        x += n;
        g1 += n;
        if (Two) g2 += n;
        if (M == Mask::FromResult) y += n;
        if (g_out) g_out += n;
    }
    template <bool Whole, int Rows>
    GMX_INLINE void run(int64_t r, int64_t c, int n) const {
        F a0 = load(s1 + c), b0 = load(s2 + c), a1 = {}, b1 = {};
        const F m = load(affine.mean + c), s = load(affine.scale + c), b = load(affine.bias + c);
        int64_t at = r * channels + c;
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i, at += channels) {
            const F v = get<Whole>(x + at, n) - m;
            F g = get<Whole>(g1 + at, n);
            if (Two) g += get<Whole>(g2 + at, n);
            if (M == Mask::FromResult) g = where_on(get<Whole>(y + at, n), g);
            if (M == Mask::Again) g = where_on(v * s + b, g);
            // the sums take the gradient as the second pass will read it
            if (Two) g = as_stored(x, g);
            if (g_out) put<Whole>(g_out + at, g, n);
            if (i & 1) { a1 += g; b1 += g * v; }
            else { a0 += g; b0 += g * v; }
        }
        store(s1 + c, a0 + a1);
        store(s2 + c, b0 + b1);
    }
};

template <class E, Mask M>
void grad_sums_masked(const E* x, const E* g1, const E* g2, const E* y, E* g_out, int64_t rows, int64_t channels, Affine affine, double* s1, double* s2, float* scratch) {
    if (g2) sum_up(rows, channels, GradSums<E, M, true>{x, g1, g2, y, g_out, channels, affine, nullptr, nullptr}, s1, s2, scratch);
    else sum_up(rows, channels, GradSums<E, M, false>{x, g1, g2, y, g_out, channels, affine, nullptr, nullptr}, s1, s2, scratch);
}

template <class E>
void grad_sums(const E* x, const E* g1, const E* g2, const E* y, E* g_out, int64_t rows, int64_t channels, Affine affine, bool relu, double* s1, double* s2, float* scratch) {
    if (!relu) grad_sums_masked<E, Mask::None>(x, g1, g2, y, g_out, rows, channels, affine, s1, s2, scratch);
    else if (y) grad_sums_masked<E, Mask::FromResult>(x, g1, g2, y, g_out, rows, channels, affine, s1, s2, scratch);
    else grad_sums_masked<E, Mask::Again>(x, g1, g2, y, g_out, rows, channels, affine, s1, s2, scratch);
}

template <class E, bool Relu, bool More>
struct GradInput {
    const E *x, *g, *more;
    E* dx;
    int64_t channels;
    Affine affine;
    GradAffine grad;
    template <bool Whole, int Rows>
    GMX_INLINE void run(int64_t r, int64_t c, int n) const {
        const F m = load(affine.mean + c), s = load(affine.scale + c), bias = load(affine.bias + c);
        const F a = load(grad.a + c), b = load(grad.b + c), d = load(grad.d + c);
        int64_t at = r * channels + c;
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i, at += channels) {
            const F v = get<Whole>(x + at, n) - m;
            F h = get<Whole>(g + at, n);
            if (Relu) h = where_on(v * s + bias, h);
            h = h * a + (v * b + d);
            if (More) h += get<Whole>(more + at, n);
            put<Whole>(dx + at, h, n);
        }
    }
};

template <class E>
void grad_input(const E* x, const E* g, const E* more, E* dx, int64_t rows, int64_t channels, Affine affine, GradAffine grad, bool relu) {
    if (more) {
        if (relu) sweep(rows, channels, GradInput<E, true, true>{x, g, more, dx, channels, affine, grad});
        else sweep(rows, channels, GradInput<E, false, true>{x, g, more, dx, channels, affine, grad});
    } else {
        if (relu) sweep(rows, channels, GradInput<E, true, false>{x, g, more, dx, channels, affine, grad});
        else sweep(rows, channels, GradInput<E, false, false>{x, g, more, dx, channels, affine, grad});
    }
}

} // namespace

template <> const BatchNormKernels<float> BatchNormTables<float>::GMX_TABLE = {moments<float>, apply<float>, grad_sums<float>, grad_input<float>};
template <> const BatchNormKernels<Bf16> BatchNormTables<Bf16>::GMX_TABLE = {moments<Bf16>, apply<Bf16>, grad_sums<Bf16>, grad_input<Bf16>};

} // namespace gmx
