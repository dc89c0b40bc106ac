// Matrix products of a perceptron's size in float32, where a BLAS spends its time on packing and on waking threads of its own beside libtorch's.
// Rows are contiguous. Sums run in a fixed order, whatever the number of threads.
#pragma once
#include <cstdint>

namespace gmx {

struct SmallGemm {
    // c (m, n) = a (m, k) bᵀ, b (n, k)
    void (*transposed)(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc);
    // c (m, n) = a b, a (m, k) with any strides, b (k, n)
    void (*plain)(int64_t m, int64_t n, int64_t k, const float* a, int64_t row_stride, int64_t column_stride, const float* b, int64_t ldb, float* c, int64_t ldc);
};

extern const SmallGemm small_gemm_generic, small_gemm_avx2, small_gemm_avx512;

// The widest that gmx::instructions allows.
const SmallGemm& small_gemm();

} // namespace gmx
