// vector_loops.h for processors with AVX2.
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#endif
#include "vector_loops_kernel.h"
namespace gmx {
const VectorLoops<float> float_loops_avx2 = Loops<float>::table();
const VectorLoops<double> double_loops_avx2 = Loops<double>::table();
}
