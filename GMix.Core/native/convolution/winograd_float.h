// Winograd's F(2x2, 3x3) of winograd.h in float32: the kernels for one instruction set, one thread, and the tables of those that there are.
// Channels come in whole registers: both numbers of channels are multiples of `lanes`. Images are n·h·w·c (channels last).
#pragma once
#include "winograd.h"

namespace gmx {
namespace winograd {

struct FloatKernels {
    int64_t lanes;
    // Floats of the transformed weights are kPoints * outputs * inputs. Transforms `lanes` outputs a unit: units [begin, end) of outputs / lanes.
    void (*pack_weights)(const Weights& weights, int64_t begin, int64_t end, float* packed);
    // Floats of scratch for one thread's convolve.
    int64_t (*convolve_scratch)(int64_t inputs);
    // Tiles [begin, end) of y (n, h, w, outputs) from x.
    void (*convolve)(const float* x, const Map& map, const float* packed, int64_t outputs, int64_t begin, int64_t end, float* scratch, float* y);
    // Transformed input and output gradient of tile rows [begin, end), a part of the `rows` rows from `first` that `out` has room for:
    // [point][block of 64 channels][tile][channel].
    void (*transform_input)(const float* x, const Map& map, int64_t begin, int64_t end, int64_t first, int64_t rows, float* out);
    void (*transform_gradient)(const float* g, const Map& map, int64_t begin, int64_t end, int64_t first, int64_t rows, float* out);
    // Sums of products: units [begin, end) of sum_units(); `sums` [point][outputs][inputs] is set by the first part of the tiles, added to by others.
    void (*sum_tiles)(const float* gradient, const float* input, int64_t tiles, int64_t outputs, int64_t inputs, int64_t begin, int64_t end, bool first, float* sums);
    // Gradients of outputs [begin, end), written with the strides of (outputs, inputs, 9).
    void (*unpack_sums)(const float* sums, int64_t outputs, int64_t inputs, int64_t begin, int64_t end, float* out, int64_t output_stride, int64_t input_stride, int64_t tap_stride);
};

struct FloatTables {
    static const FloatKernels generic, avx2, avx512;
};

} // namespace winograd
} // namespace gmx
