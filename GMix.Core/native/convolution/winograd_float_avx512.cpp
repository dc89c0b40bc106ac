// Winograd's algorithm in float32 with AVX-512.
#include "winograd_float.h"
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define GMX_TABLE avx512
#define GMX_LANES 16
#define GMX_REGISTERS 4
#include "winograd_float.inl"
#endif
