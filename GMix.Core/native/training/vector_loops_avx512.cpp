// vector_loops.h for processors with AVX-512.
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512dq,fma")
#endif
#include "vector_loops_kernel.h"
namespace gmx {
const VectorLoops<float> float_loops_avx512 = Loops<float>::table();
const VectorLoops<double> double_loops_avx512 = Loops<double>::table();
}
