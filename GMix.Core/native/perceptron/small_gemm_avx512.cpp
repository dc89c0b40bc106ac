// small_gemm.h for processors with AVX-512.
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512dq,fma")
#include "small_gemm_kernel.h"
namespace gmx { const SmallGemm small_gemm_avx512{Kernel<16>::transposed, Kernel<16>::plain}; }
#else
#include "small_gemm_kernel.h"
namespace gmx { const SmallGemm small_gemm_avx512{Kernel<4>::transposed, Kernel<4>::plain}; }
#endif
