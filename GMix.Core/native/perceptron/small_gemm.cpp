// small_gemm.h for any processor, and the choice among the three.
#include "small_gemm_kernel.h"
#include "instructions.h"

namespace gmx {

const SmallGemm small_gemm_generic{Kernel<4>::transposed, Kernel<4>::plain};

const SmallGemm& small_gemm() {
    const Instructions level = instructions();
    return level >= kAvx512 ? small_gemm_avx512 : level >= kAvx2 ? small_gemm_avx2 : small_gemm_generic;
}

} // namespace gmx
