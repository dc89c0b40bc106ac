// small_gemm.h for any processor, and the choice among the three.
#include "small_gemm_kernel.h"
#include "shim.h"
#include "allowed_instructions.h"
#include <algorithm>

namespace gmx {

const SmallGemm small_gemm_generic{Kernel<4>::transposed, Kernel<4>::plain};

static std::atomic<int> widest{2};

const SmallGemm& small_gemm() {
#if defined(__x86_64__)
    static const int has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") ? 2
        : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1 : 0;
#else
    static const int has = 0;
#endif
    const int level = std::min({has, widest.load(std::memory_order_relaxed), allowed_instructions()});
    return level == 2 ? small_gemm_avx512 : level == 1 ? small_gemm_avx2 : small_gemm_generic;
}

} // namespace gmx

// For tests: 0 any processor's instructions, 1 AVX2 at most, 2 what there is. Returns what was set before.
GMX_API int32_t gmx_widest_instructions(int32_t level) { return gmx::widest.exchange(level); }
