// GMIX_INSTRUCTIONS in the environment: the widest instructions that the shim's own kernels may use, to see on one processor what another one does.
// The managed side has checked the word, and has told oneDNN and ATen the same (Torch/NativeLibraryLoader.cs).
#pragma once
#include <cstdlib>
#include <cstring>

namespace gmx {

// 0 what every processor has, 1 AVX2, 2 AVX-512, 3 all that there is.
inline int allowed_instructions() {
    static const int level = [] {
        const char* word = std::getenv("GMIX_INSTRUCTIONS");
        if (!word) return 3;
        return std::strcmp(word, "generic") == 0 ? 0 : std::strcmp(word, "avx2") == 0 ? 1 : std::strcmp(word, "avx512") == 0 ? 2 : 3;
    }();
    return level;
}

} // namespace gmx
