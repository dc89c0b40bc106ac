// Depthwise convolution between batch normalisations with AVX-512 and its rounding to bfloat16.
#if defined(__x86_64__)
#pragma GCC target("prefer-vector-width=512,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")
#define GMX_TABLE avx512bf16
#define GMX_AVX512
#define GMX_BF16
#include "separable_kernels.inl"
#endif
