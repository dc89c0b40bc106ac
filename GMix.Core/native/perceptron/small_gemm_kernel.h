// The two kernels of small_gemm.h for vectors of W floats; each file that includes this names its instruction set first. No other header may be
// included there: an inline function compiled for wide instructions could end up in code that runs everywhere.
#include "small_gemm.h"

namespace {

constexpr int64_t kDepth = 512;        // of a product of rows by rows: a strip of b, TN × kDepth, stays in the first-level cache
constexpr int64_t kStrip = 64;         // rows of a whose sums stay there with it
constexpr int64_t kPacked = 4096;      // floats of b that are copied together: rows of b are often a multiple of 4 KiB apart, and would push each other out
constexpr int64_t kPackedDepth = 32;   // at least; then a row of c is written 128 floats at a time

template <int W> struct Lanes;
#define GMX_LANES(W) \
    template <> struct Lanes<W> { \
        typedef float Floats __attribute__((vector_size(4 * W), aligned(4), may_alias)); \
        typedef int Integers __attribute__((vector_size(4 * W))); \
    };
GMX_LANES(4)
GMX_LANES(8)
GMX_LANES(16)
#undef GMX_LANES

template <int W>
struct Kernel {
    typedef typename Lanes<W>::Floats Vector;
    static constexpr int TM = 4, TN = W == 16 ? 4 : 2; // as many sums as the registers hold

    static inline Vector load(const float* p) { return *reinterpret_cast<const Vector*>(p); }
    static inline void store(float* p, Vector v) { *reinterpret_cast<Vector*>(p) = v; }

    // The sum of a vector's elements: halves are added until one is left.
    static inline float total(Vector v) {
        float parts[W];
        store(parts, v);
        for (int half = W / 2; half > 0; half /= 2)
            for (int i = 0; i < half; ++i) parts[i] += parts[i + half];
        return parts[0];
    }

    // Left halves of the groups of 2 · half elements of a and b, one after another, plus the right halves.
    static inline Vector halved(Vector a, Vector b, int half) {
        typename Lanes<W>::Integers left{};
        for (int i = 0; i < W; ++i) left[i] = i / half * (2 * half) + i % half;
        return __builtin_shuffle(a, b, left) + __builtin_shuffle(a, b, left + half);
    }

    // total() of W vectors at once, with the same additions.
    static inline Vector totals(const float* vectors) {
        Vector v[W];
        for (int i = 0; i < W; ++i) v[i] = load(vectors + i * W);
#pragma GCC unroll 8
        for (int half = W / 2; half > 0; half /= 2)
#pragma GCC unroll 16
            for (int i = 0; i < half; ++i) v[i] = halved(v[2 * i], v[2 * i + 1], half);
        return v[0];
    }

    // sums[i * N + j] = the products of rows i of a and j of b over k floats, a multiple of W; added to what is there unless it is the first
    template <int M, int N>
    static inline void rows_by_rows(int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* sums, bool first) {
        Vector s[M][N];
        if (first) for (int i = 0; i < M; ++i) for (int j = 0; j < N; ++j) s[i][j] = Vector{};
        else for (int i = 0; i < M; ++i) for (int j = 0; j < N; ++j) s[i][j] = load(sums + (i * N + j) * W);
        for (int64_t p = 0; p < k; p += W) {
            Vector right[N];
            for (int j = 0; j < N; ++j) right[j] = load(b + j * ldb + p);
            for (int i = 0; i < M; ++i) {
                Vector left = load(a + i * lda + p);
                for (int j = 0; j < N; ++j) s[i][j] += left * right[j];
            }
        }
        for (int i = 0; i < M; ++i) for (int j = 0; j < N; ++j) store(sums + (i * N + j) * W, s[i][j]);
    }

    // N columns of c
    template <int N>
    static inline void strip(int64_t m, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc) {
        alignas(64) float sums[kStrip * N * W], each[kStrip * N];
        const int64_t whole = k - k % W;
        for (int64_t m0 = 0; m0 < m; m0 += kStrip) {
            const int64_t rows = m - m0 < kStrip ? m - m0 : kStrip, count = rows * N;
            if (whole == 0) for (int64_t i = 0; i < count * W; ++i) sums[i] = 0;
            for (int64_t k0 = 0; k0 < whole; k0 += kDepth) {
                const int64_t depth = whole - k0 < kDepth ? whole - k0 : kDepth;
                const float* left = a + m0 * lda + k0;
                int64_t i = 0;
                for (; i + TM <= rows; i += TM) rows_by_rows<TM, N>(depth, left + i * lda, lda, b + k0, ldb, sums + i * N * W, k0 == 0);
                for (; i < rows; ++i) rows_by_rows<1, N>(depth, left + i * lda, lda, b + k0, ldb, sums + i * N * W, k0 == 0);
            }
            int64_t done = 0;
            for (; done + W <= count; done += W) store(each + done, totals(sums + done * W));
            for (; done < count; ++done) each[done] = total(load(sums + done * W));
            for (int64_t i = 0; i < rows; ++i)
                for (int64_t j = 0; j < N; ++j) {
                    float sum = each[i * N + j];
                    for (int64_t p = whole; p < k; ++p) sum += a[(m0 + i) * lda + p] * b[j * ldb + p];
                    c[(m0 + i) * ldc + j] = sum;
                }
        }
    }

    static void transposed(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc) {
        int64_t j = 0;
        for (; j + TN <= n; j += TN) strip<TN>(m, k, a, lda, b + j * ldb, ldb, c + j, ldc);
        for (; j < n; ++j) strip<1>(m, k, a, lda, b + j * ldb, ldb, c + j, ldc);
    }

    // M rows of c, N vectors wide; what is there counts unless it is the first
    template <int M, int N>
    static inline void rows_by_columns(int64_t k, const float* a, int64_t rs, int64_t cs, const float* b, int64_t ldb, float* c, int64_t ldc, bool first) {
        Vector s[M][N];
        if (first) for (int i = 0; i < M; ++i) for (int j = 0; j < N; ++j) s[i][j] = Vector{};
        else for (int i = 0; i < M; ++i) for (int j = 0; j < N; ++j) s[i][j] = load(c + i * ldc + j * W);
        for (int64_t p = 0; p < k; ++p) {
            Vector right[N];
            for (int j = 0; j < N; ++j) right[j] = load(b + p * ldb + j * W);
            for (int i = 0; i < M; ++i) {
                const float left = a[i * rs + p * cs];
                for (int j = 0; j < N; ++j) s[i][j] += left * right[j];
            }
        }
        for (int i = 0; i < M; ++i) for (int j = 0; j < N; ++j) store(c + i * ldc + j * W, s[i][j]);
    }

    // M rows of c, n columns, a multiple of W
    template <int M>
    static inline void some_rows(int64_t n, int64_t k, const float* a, int64_t rs, int64_t cs, const float* b, int64_t ldb, float* c, int64_t ldc, bool first) {
        int64_t j = 0;
        for (; j + TN * W <= n; j += TN * W) rows_by_columns<M, TN>(k, a, rs, cs, b + j, ldb, c + j, ldc, first);
        for (; j < n; j += W) rows_by_columns<M, 1>(k, a, rs, cs, b + j, ldb, c + j, ldc, first);
    }

    static void plain(int64_t m, int64_t n, int64_t k, const float* a, int64_t rs, int64_t cs, const float* b, int64_t ldb, float* c, int64_t ldc) {
        alignas(64) float packed[kPacked];
        const int64_t whole = n - n % W, deepest = k <= kPackedDepth ? kPackedDepth : 2 * kPackedDepth, widest = kPacked / deepest;
        for (int64_t j = 0; j < whole; j += widest) {
            const int64_t width = whole - j < widest ? whole - j : widest;
            for (int64_t k0 = 0; k0 < k; k0 += deepest) {
                const int64_t depth = k - k0 < deepest ? k - k0 : deepest;
                for (int64_t p = 0; p < depth; ++p)
                    for (int64_t q = 0; q < width; q += W) store(packed + p * widest + q, load(b + (k0 + p) * ldb + j + q));
                const float* left = a + k0 * cs;
                int64_t i = 0;
                for (; i + TM <= m; i += TM) some_rows<TM>(width, depth, left + i * rs, rs, cs, packed, widest, c + i * ldc + j, ldc, k0 == 0);
                for (; i < m; ++i) some_rows<1>(width, depth, left + i * rs, rs, cs, packed, widest, c + i * ldc + j, ldc, k0 == 0);
            }
        }
        for (int64_t j = whole; j < n; ++j)
            for (int64_t i = 0; i < m; ++i) {
                float sum = 0;
                for (int64_t p = 0; p < k; ++p) sum += a[i * rs + p * cs] * b[p * ldb + j];
                c[i * ldc + j] = sum;
            }
    }
};

} // namespace
