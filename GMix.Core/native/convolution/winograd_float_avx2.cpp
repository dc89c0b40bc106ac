// Winograd's algorithm in float32 with AVX2.
#include "winograd_float.h"
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#define GMX_TABLE avx2
#define GMX_LANES 8
#define GMX_REGISTERS 2
#include "winograd_float.inl"
#endif
