// small_gemm.h for processors with AVX2 and fused multiply-add.
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#include "small_gemm_kernel.h"
namespace gmx { const SmallGemm small_gemm_avx2{Kernel<8>::transposed, Kernel<8>::plain}; }
#else
#include "small_gemm_kernel.h"
namespace gmx { const SmallGemm small_gemm_avx2{Kernel<4>::transposed, Kernel<4>::plain}; }
#endif
