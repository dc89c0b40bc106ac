// vector_loops.h for any processor, and the choice among the three.
#include "vector_loops_kernel.h"
#include "instructions.h"

namespace gmx {

const VectorLoops<float> float_loops_generic = Loops<float>::table();
const VectorLoops<double> double_loops_generic = Loops<double>::table();

template <> const VectorLoops<float>& vector_loops<float>() {
    const Instructions level = instructions();
    return level >= kAvx512 ? float_loops_avx512 : level >= kAvx2 ? float_loops_avx2 : float_loops_generic;
}

template <> const VectorLoops<double>& vector_loops<double>() {
    const Instructions level = instructions();
    return level >= kAvx512 ? double_loops_avx512 : level >= kAvx2 ? double_loops_avx2 : double_loops_generic;
}

} // namespace gmx
