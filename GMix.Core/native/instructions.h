// Which of its kernels an operator runs: the widest instructions that the processor has and that are allowed.
#pragma once

namespace gmx {

enum Instructions { kAnyProcessor, kAvx2, kAvx512, kAvx512Bf16 };

// Of the calling thread, so an operator asks before it divides its work among threads. GMIX_INSTRUCTIONS in the environment (generic, avx2, avx512)
// narrows it for the process, to see on one processor what another one does: the managed side has checked the word, and has told oneDNN and ATen the
// same (Torch/NativeLibraryLoader.cs). gmx_instructions_limit narrows it for one thread, for tests.
Instructions instructions();

} // namespace gmx
