// See processor.h.
#include "processor.h"
#include "allowed_instructions.h"
#include "shim.h"
#include <algorithm>

static std::atomic<int> widest{2};

int gmx::widest_instructions() {
#if defined(__x86_64__)
    static const int has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") ? 2
        : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1 : 0;
#else
    static const int has = 0;
#endif
    return std::min({has, widest.load(std::memory_order_relaxed), static_cast<int>(allowed_instructions())});
}

// For tests: 0 any processor's instructions, 1 AVX2 at most, 2 what there is. Returns what was set before.
GMX_API int32_t gmx_widest_instructions(int32_t level) { return widest.exchange(level); }
