// See instructions.h.
#include "instructions.h"
#include "shim.h"
#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace {

thread_local int32_t limit = gmx::kAvx512Bf16;

int32_t allowed() {
    const char* word = std::getenv("GMIX_INSTRUCTIONS");
    if (!word) return gmx::kAvx512Bf16;
    return std::strcmp(word, "generic") == 0 ? gmx::kAnyProcessor : std::strcmp(word, "avx2") == 0 ? gmx::kAvx2 : std::strcmp(word, "avx512") == 0 ? gmx::kAvx512 : gmx::kAvx512Bf16;
}

int32_t of_processor() {
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return gmx::kAnyProcessor;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) return gmx::kAvx2;
    return __builtin_cpu_supports("avx512bf16") ? gmx::kAvx512Bf16 : gmx::kAvx512;
#else
    return gmx::kAnyProcessor;
#endif
}

} // namespace

gmx::Instructions gmx::instructions() {
    static const int32_t best = std::min(of_processor(), allowed());
    return static_cast<Instructions>(std::min(best, limit));
}

// The widest instructions (gmx::Instructions) that the shim's kernels may use in the calling thread. Returns what was set before.
GMX_API int32_t gmx_instructions_limit(int32_t level) {
    const int32_t before = limit;
    limit = level;
    return before;
}
