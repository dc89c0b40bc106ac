// Depthwise convolution with AVX2.
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#define GMX_TABLE avx2
#define GMX_WIDEST 8
#include "depthwise_kernels.inl"
#endif
