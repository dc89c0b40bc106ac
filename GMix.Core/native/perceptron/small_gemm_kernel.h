// The two kernels of small_gemm.h for vectors of W floats; each file that includes this names its instruction set first. No other header may be
// included there: an inline function compiled for wide instructions could end up in code that runs everywhere.
#include "small_gemm.h"

namespace {

constexpr int64_t kDepth = 256, kRows = 16; // a block of a, kRows × kDepth, stays in the first-level cache

template <int W>
struct Kernel {
    typedef float Vector __attribute__((vector_size(W * sizeof(float)), aligned(sizeof(float)), may_alias));
    static constexpr int TM = 4, TN = W == 16 ? 4 : 2; // as many sums as the registers hold

    static inline Vector load(const float* p) { return *reinterpret_cast<const Vector*>(p); }
    static inline void store(float* p, Vector v) { *reinterpret_cast<Vector*>(p) = v; }
    static inline float total(Vector v) {
        float parts[W];
        store(parts, v);
        for (int half = W / 2; half > 0; half /= 2)
            for (int i = 0; i < half; ++i) parts[i] += parts[i + half];
        return parts[0];
    }

    // sums[i * stride + j] += the products of rows i of a and j of b over k floats, a multiple of W
    template <int M, int N>
    static inline void rows_by_rows(int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* sums, int64_t stride) {
        Vector s[M][N];
        for (int i = 0; i < M; ++i) for (int j = 0; j < N; ++j) s[i][j] = load(sums + (i * stride + j) * W);
        for (int64_t p = 0; p < k; p += W) {
            Vector right[N];
            for (int j = 0; j < N; ++j) right[j] = load(b + j * ldb + p);
            for (int i = 0; i < M; ++i) {
                Vector left = load(a + i * lda + p);
                for (int j = 0; j < N; ++j) s[i][j] += left * right[j];
            }
        }
        for (int i = 0; i < M; ++i) for (int j = 0; j < N; ++j) store(sums + (i * stride + j) * W, s[i][j]);
    }

    template <int N>
    static inline void some_rows(int64_t m, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* sums, int64_t stride) {
        int64_t i = 0;
        for (; i + TM <= m; i += TM) rows_by_rows<TM, N>(k, a + i * lda, lda, b, ldb, sums + i * stride * W, stride);
        for (; i < m; ++i) rows_by_rows<1, N>(k, a + i * lda, lda, b, ldb, sums + i * stride * W, stride);
    }

    static void transposed(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc) {
        constexpr int64_t columns = 32;
        float sums[kRows * columns * W];
        const int64_t whole = k - k % W;
        for (int64_t m0 = 0; m0 < m; m0 += kRows) {
            const int64_t rows = m - m0 < kRows ? m - m0 : kRows;
            for (int64_t n0 = 0; n0 < n; n0 += columns) {
                const int64_t width = n - n0 < columns ? n - n0 : columns;
                for (int64_t i = 0; i < rows * columns * W; ++i) sums[i] = 0;
                for (int64_t k0 = 0; k0 < whole; k0 += kDepth) {
                    const int64_t depth = whole - k0 < kDepth ? whole - k0 : kDepth;
                    const float* left = a + m0 * lda + k0;
                    int64_t j = 0;
                    for (; j + TN <= width; j += TN) some_rows<TN>(rows, depth, left, lda, b + (n0 + j) * ldb + k0, ldb, sums + j * W, columns);
                    for (; j < width; ++j) some_rows<1>(rows, depth, left, lda, b + (n0 + j) * ldb + k0, ldb, sums + j * W, columns);
                }
                for (int64_t i = 0; i < rows; ++i)
                    for (int64_t j = 0; j < width; ++j) {
                        float sum = total(load(sums + (i * columns + j) * W));
                        for (int64_t p = whole; p < k; ++p) sum += a[(m0 + i) * lda + p] * b[(n0 + j) * ldb + p];
                        c[(m0 + i) * ldc + n0 + j] = sum;
                    }
            }
        }
    }

    // M rows of c, N vectors wide
    template <int M, int N>
    static inline void rows_by_columns(int64_t k, const float* a, int64_t rs, int64_t cs, const float* b, int64_t ldb, float* c, int64_t ldc) {
        Vector s[M][N];
        for (int i = 0; i < M; ++i) for (int j = 0; j < N; ++j) s[i][j] = Vector{};
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

    template <int N>
    static inline void some_columns(int64_t m, int64_t k, const float* a, int64_t rs, int64_t cs, const float* b, int64_t ldb, float* c, int64_t ldc) {
        int64_t i = 0;
        for (; i + TM <= m; i += TM) rows_by_columns<TM, N>(k, a + i * rs, rs, cs, b, ldb, c + i * ldc, ldc);
        for (; i < m; ++i) rows_by_columns<1, N>(k, a + i * rs, rs, cs, b, ldb, c + i * ldc, ldc);
    }

    static void plain(int64_t m, int64_t n, int64_t k, const float* a, int64_t rs, int64_t cs, const float* b, int64_t ldb, float* c, int64_t ldc) {
        int64_t j = 0;
        for (; j + TN * W <= n; j += TN * W) some_columns<TN>(m, k, a, rs, cs, b + j, ldb, c + j, ldc);
        for (; j + W <= n; j += W) some_columns<1>(m, k, a, rs, cs, b + j, ldb, c + j, ldc);
        for (; j < n; ++j)
            for (int64_t i = 0; i < m; ++i) {
                float sum = 0;
                for (int64_t p = 0; p < k; ++p) sum += a[i * rs + p * cs] * b[p * ldb + j];
                c[i * ldc + j] = sum;
            }
    }
};

} // namespace
