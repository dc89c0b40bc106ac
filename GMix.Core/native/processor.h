// Which instructions the kernels of perceptron and training may use.
#pragma once

namespace gmx {

// 2 where the processor has AVX-512 (F, VL, DQ), 1 with AVX2 and fused multiply-add, else 0; less where a test or GMIX_INSTRUCTIONS asked for less.
int widest_instructions();

} // namespace gmx
