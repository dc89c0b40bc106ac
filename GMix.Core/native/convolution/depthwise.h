// Depthwise 3x3 convolution with padding 1 on the CPU: what the kernels and the operator share.
// Activations are channels-last: an image is h rows of w positions of c channels.
#pragma once
#include <cstdint>

namespace gmx {

struct DepthwiseShape {
    int64_t c, h, w, oh, ow; // input h x w, output oh x ow
    int stride;              // 1 or 2
};

// One image, one thread. E is float or uint16_t (the bits of a bfloat16). Weights and their gradient are float, 9 rows (ky, kx) of c values;
// sums are taken in float.
template <class E>
struct DepthwiseKernels {
    void (*forward)(const DepthwiseShape& shape, const E* x, const float* weights, E* y);
    // dx of shape.h x shape.w out of dy of shape.oh x shape.ow
    void (*input_gradient)(const DepthwiseShape& shape, const E* dy, const float* weights, E* dx);
    // adds this image's gradient to dw
    void (*weight_gradient)(const DepthwiseShape& shape, const E* x, const E* dy, float* dw);
};

template <class E>
struct DepthwiseTables {
    static const DepthwiseKernels<E> generic, avx2, avx512;
};

} // namespace gmx
