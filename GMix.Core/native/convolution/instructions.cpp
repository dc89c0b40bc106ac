// See instructions.h.
#include "shim.h"
#include "instructions.h"
#include <algorithm>

static thread_local int32_t widest = gmx::kAvx512Bf16;

gmx::Instructions gmx::instructions() {
#if defined(__x86_64__)
    static const int32_t best = [] {
        if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return kAnyProcessor;
        if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) return kAvx2;
        return __builtin_cpu_supports("avx512bf16") ? kAvx512Bf16 : kAvx512;
    }();
    return static_cast<Instructions>(std::min(best, widest));
#else
    return kAnyProcessor;
#endif
}

// The widest instructions that this thread's stem and separable convolutions may use (gmx::Instructions). For tests and comparisons.
GMX_API void gmx_instructions_limit(int32_t level) { widest = level; }
