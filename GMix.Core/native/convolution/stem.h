// The first convolution of a network for images, 3x3 with padding 1: what the gradient of its weights is computed with.
#pragma once
#include <cstdint>

namespace gmx {

struct StemShape {
    int64_t inputs, outputs, h, w, oh, ow; // at most kMostColours inputs; outputs a multiple of kStemLanes
    int stride;
};

constexpr int64_t kMostColours = 4, kStemLanes = 16;

// Floats that the kernel takes as scratch: an image with zeros around it.
inline int64_t stem_scratch(const StemShape& s) { return (s.h + 2) * (s.w + 2) * s.inputs; }

// One image, one thread: adds to dw, 9 * inputs rows (ky, kx, input) of `outputs` floats. E is float or uint16_t (the bits of a bfloat16); images are
// channels-last, sums are taken in float.
template <class E>
struct StemKernels {
    void (*weight_gradient)(const StemShape& shape, const E* x, const E* dy, float* dw, float* scratch);
};

template <class E>
struct StemTables {
    static const StemKernels<E> generic, avx2, avx512;
};

} // namespace gmx
