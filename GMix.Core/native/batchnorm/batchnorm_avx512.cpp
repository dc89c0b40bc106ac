// Batch normalisation with AVX-512.
#if defined(__x86_64__)
#pragma GCC target("prefer-vector-width=512,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define GMX_TABLE avx512
#define GMX_AVX512
#include "batchnorm_kernels.inl"
#endif
