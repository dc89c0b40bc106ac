// Depthwise convolution between batch normalisations with AVX2.
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#define GMX_TABLE avx2
#include "separable_kernels.inl"
#endif
