// Winograd's F(2x2, 3x3) for 3x3 convolutions of stride 1 and padding 1 in bfloat16: Lavin & Gray, "Fast Algorithms for Convolutional Neural
// Networks", 2016, section 4.1. A tile of 2x2 outputs takes 16 multiplications per pair of channels where the definition takes 36. The
// three transforms run in float32 and round once, products add up in float32.
//
// Images are n·h·w·c (channels last). Transformed channels come in groups of 32, zeros beyond the last one, the even channels of a group before
// the odd ones: that is how a 512-bit register of bfloat16 splits into two of float32 and back without a shuffle.
// Plain pointers, so that the kernels' files need none of libtorch's headers and may be compiled for another processor than the rest.
#pragma once
#include <cstdint>

namespace gmx {
namespace winograd {

constexpr int64_t kGroup = 32;   // channels in a register of bfloat16
constexpr int64_t kBlock = 64;   // channels that one call of a matrix kernel writes: 4 registers of float32
constexpr int64_t kPoints = 16;  // elements of a transformed tile, 4x4

inline int64_t padded(int64_t channels, int64_t to) { return (channels + to - 1) / to * to; }

// A batch of maps and its 2x2 tiles; odd maps have a last tile that sticks out.
struct Map {
    int64_t n, h, w, c;
    int64_t tile_rows() const { return n * ((h + 1) / 2); }
    int64_t tiles_across() const { return (w + 1) / 2; }
    int64_t tiles() const { return tile_rows() * tiles_across(); }
};

// float32 weights seen as (outputs, inputs, 9) with any strides; flipped turns the 3x3 kernel by 180 degrees, as the gradient of the input wants it.
struct Weights {
    const float* data;
    int64_t outputs, inputs, output_stride, input_stride, tap_stride;
    bool flipped;
};

// Elements (bfloat16) of the transformed weights: [block of 64 outputs][point][pair of inputs][output][2].
inline int64_t packed_size(int64_t outputs, int64_t inputs) { return kPoints * padded(outputs, 16) * padded(inputs, kGroup); }
// Transforms 16 outputs a unit; units [begin, end) of ceil(outputs / 16).
void pack_weights(const Weights& weights, int64_t begin, int64_t end, uint16_t* packed);

// Tiles that are worked on together, so that their transformed inputs and products stay in the second-level cache.
int64_t tiles_together(int64_t inputs);
// Bytes of scratch for one thread, to be aligned to 64.
int64_t convolve_scratch(int64_t inputs);
// Tiles [begin, end) of y (n, h, w, outputs) from x.
void convolve(const uint16_t* x, const Map& map, const uint16_t* packed, int64_t outputs, int64_t begin, int64_t end, char* scratch, uint16_t* y);

// The gradient of the weights sums over tiles, two at a time: a row of tiles is padded to pairs.
inline int64_t pairs_across(const Map& map) { return (map.tiles_across() + 1) / 2; }
// Transformed input and output gradient of tile rows [begin, end), a part of the `rows` rows from `first` that `out` has room for:
// [point][block of 64 channels][tile pair][channel][2].
void transform_input_pairs(const uint16_t* x, const Map& map, int64_t begin, int64_t end, int64_t first, int64_t rows, uint32_t* out);
void transform_gradient_pairs(const uint16_t* g, const Map& map, int64_t begin, int64_t end, int64_t first, int64_t rows, uint32_t* out);
// Sums of products: units [begin, end) of sum_units(); `sums` [point][outputs padded][inputs padded] is set by the first part of the tiles, added to by others.
inline int64_t sum_units(int64_t outputs, int64_t inputs) { return kPoints * ((outputs + kBlock - 1) / kBlock) * ((inputs + kBlock - 1) / kBlock); }
void sum_pairs(const uint32_t* gradient, const uint32_t* input, int64_t pairs, int64_t outputs, int64_t inputs, int64_t begin, int64_t end, bool first, float* sums);
// Gradients of outputs [begin, end), written with the strides of (outputs, inputs, 9).
void unpack_sums(const float* sums, int64_t outputs, int64_t inputs, int64_t begin, int64_t end, float* out, int64_t output_stride, int64_t input_stride, int64_t tap_stride);

} // namespace winograd
} // namespace gmx
