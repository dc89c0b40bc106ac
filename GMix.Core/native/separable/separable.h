// Depthwise 3x3 convolution between two batch normalisations with ReLU, the larger half of a depthwise separable layer: what its kernels and its
// operator share.
//
//   a = ReLU(BN1(z))      never written to memory: made a row at a time, forward and again backward
//   u = depthwise(a)
//   y = ReLU(BN2(u))
#pragma once
#include "batchnorm/batchnorm.h"
#include "convolution/depthwise.h"

namespace gmx {

// Channels come in whole vectors of every instruction set.
constexpr int64_t kSeparableLanes = 16;

// Floats that a kernel takes as scratch: three rows of a and three of u's gradient with a zero at both ends, and a row of zeros.
inline int64_t separable_scratch(const DepthwiseShape& s) { return 7 * (s.w + 2) * kSeparableLanes; }

// One image, one thread. E is float or uint16_t (the bits of a bfloat16); images are channels-last. Weights and their gradient are float, 9 rows (ky, kx)
// of c values. Sums go over positions in float for at most kRowsPerFloatSum of them or one row, then in double.
template <class E>
struct SeparableKernels {
    // u of z, with s1 += sum of (u - shift), s2 += sum of (u - shift)^2 per channel.
    void (*forward)(const DepthwiseShape& shape, const E* z, Affine first, const float* weights, E* u, const float* shift, double* s1, double* s2, float* scratch);
    // Out of g, the gradient of y: with du = (g where y > 0) * grad.a + (u - mean) * grad.b + grad.d, the gradient of u,
    // dw += the weights' gradient; h = the gradient of a where a > 0, 0 elsewhere; s1 += sum of h, s2 += sum of h * (z - mean).
    void (*backward)(const DepthwiseShape& shape, const E* z, Affine first, const float* weights, const E* u, Affine second, const E* g, GradAffine grad,
                     E* h, float* dw, double* s1, double* s2, float* scratch);
};

template <class E>
struct SeparableTables {
    static const SeparableKernels<E> generic, avx2, avx512, avx512bf16;
};

} // namespace gmx
