// Batch normalisation with AVX2 and fused multiply-add.
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#define GMX_TABLE avx2
#include "batchnorm_kernels.inl"
#endif
