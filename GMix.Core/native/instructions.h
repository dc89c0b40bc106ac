// Which instructions kernels may use that exist once for each kind of processor.
#pragma once

namespace gmx {

// 2 where the processor has AVX-512 (F, VL, DQ), 1 with AVX2 and fused multiply-add, else 0; less where a test asked for less.
int widest_instructions();

} // namespace gmx
