// Depthwise convolution with AVX-512.
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define GMX_TABLE avx512
#include "depthwise_kernels.inl"
#endif
