// The kernel of stem.h for one instruction set, which the file that includes this one chooses as in lanes.inl; it names the table by GMX_TABLE.
//
// With few input channels the matrix product that libtorch makes of it is 27 columns wide: oneDNN takes 10.6 ms for 128 images of 32x32 and 32 outputs
// on two cores, this 1.2. Each output's gradient meets the 3 * inputs values of one row of its window, which lie side by side in memory.
#include "stem.h"
#include "lanes.inl"

namespace gmx {
namespace {

GMX_INLINE float value(float v) { return v; }
GMX_INLINE float value(uint16_t v) {
    const uint32_t bits = static_cast<uint32_t>(v) << 16;
    float f;
    __builtin_memcpy(&f, &bits, sizeof f);
    return f;
}

// Sums for one row of the window, Taps of its values and Vectors of outputs.
template <int Taps, int Vectors, class E>
GMX_INLINE void sums_of(const StemShape& s, const float* image, const E* dy, float* dw) {
    F sum[Taps][Vectors] = {};
    const int64_t line = (s.w + 2) * s.inputs, step = s.stride * s.inputs;
    for (int64_t r = 0; r < s.oh; ++r) {
        const float* at = image + r * s.stride * line;
        for (int64_t o = 0; o < s.ow; ++o, at += step, dy += s.outputs) {
            F g[Vectors];
            for (int v = 0; v < Vectors; ++v) g[v] = load(dy + v * kWide);
#pragma GCC unroll 12
            for (int t = 0; t < Taps; ++t)
                for (int v = 0; v < Vectors; ++v) sum[t][v] += at[t] * g[v];
        }
    }
    for (int t = 0; t < Taps; ++t)
        for (int v = 0; v < Vectors; ++v) store(dw + t * s.outputs + v * kWide, load(dw + t * s.outputs + v * kWide) + sum[t][v]);
}

template <int Inputs, int Vectors, class E>
void by_rows(const StemShape& s, const float* image, const E* dy, float* dw) {
    for (int64_t ky = 0; ky < 3; ++ky) sums_of<3 * Inputs, Vectors>(s, image + ky * (s.w + 2) * s.inputs, dy, dw + ky * 3 * Inputs * s.outputs);
}

template <int Inputs, class E>
void by_outputs(const StemShape& s, const float* image, const E* dy, float* dw) {
    int64_t c = 0;
    for (; c + 2 * kWide <= s.outputs; c += 2 * kWide) by_rows<Inputs, 2>(s, image, dy + c, dw + c);
    for (; c < s.outputs; c += kWide) by_rows<Inputs, 1>(s, image, dy + c, dw + c);
}

template <class E>
void weight_gradient(const StemShape& s, const E* x, const E* dy, float* dw, float* scratch) {
    const int64_t row = s.w * s.inputs, line = row + 2 * s.inputs;
    for (int64_t i = 0; i < stem_scratch(s); ++i) scratch[i] = 0;
    for (int64_t r = 0; r < s.h; ++r)
        for (int64_t i = 0; i < row; ++i) scratch[(r + 1) * line + s.inputs + i] = value(x[r * row + i]);
    switch (s.inputs) {
        case 1: return by_outputs<1>(s, scratch, dy, dw);
        case 2: return by_outputs<2>(s, scratch, dy, dw);
        case 3: return by_outputs<3>(s, scratch, dy, dw);
        case 4: return by_outputs<4>(s, scratch, dy, dw);
    }
}

} // namespace

template <> const StemKernels<float> StemTables<float>::GMX_TABLE{weight_gradient<float>};
template <> const StemKernels<uint16_t> StemTables<uint16_t>::GMX_TABLE{weight_gradient<uint16_t>};

} // namespace gmx
