// Which of its kernels an operator runs: the widest instructions that the processor has and that are allowed.
#pragma once

namespace gmx {

enum Instructions { kAnyProcessor, kAvx2, kAvx512, kAvx512Bf16 };

// Of this thread; gmx_instructions_limit narrows it for tests.
Instructions instructions();

} // namespace gmx
