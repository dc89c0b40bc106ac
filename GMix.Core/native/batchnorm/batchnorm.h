// Batch normalisation, residual addition and ReLU in as few passes over memory as they need: what the kernels and their driver share.
// Activations are rows of channels: (n, c, h, w) in channels-last memory is n*h*w rows of c values.
#pragma once
#include <cstdint>

namespace gmx {

// bfloat16 as its bits.
using Bf16 = uint16_t;

// Sums over rows are taken in float over this many rows, then in double.
constexpr int64_t kRowsPerFloatSum = 128;

// Channels, rounded up to whole vectors: the length of every per-channel array below.
constexpr int64_t kLanes = 16;
constexpr int64_t padded(int64_t channels) { return (channels + kLanes - 1) / kLanes * kLanes; }

// Per-channel numbers of one normalisation: y = (x - mean) * scale + bias, scale = weight / sqrt(var + eps).
struct Affine {
    const float *mean, *scale, *bias;
};

// dx = g * a + (x - mean) * b + d, per channel.
struct GradAffine {
    const float *a, *b, *d;
};

// One pass over `rows` rows each; one thread. `scratch` has 2 * padded(channels) floats. Null pointers leave a part out.
template <class E>
struct BatchNormKernels {
    // s1 += sum of (v - shift), s2 += sum of (v - shift)^2, for v = x, or v = x + other, which is then also written to `sum`.
    void (*moments)(const E* x, const E* other, E* sum, int64_t rows, int64_t channels, const float* shift, double* s1, double* s2, float* scratch);
    // y = act((x - mean) * scale + bias + residual)
    void (*apply)(const E* x, const E* residual, E* y, int64_t rows, int64_t channels, Affine affine, bool relu);
    // With g = (g1 + g2) where ReLU let the value through and 0 elsewhere: s1 += sum g, s2 += sum g * (x - mean); g goes to `g_out`.
    // ReLU is decided by `y`, its result, or, where that is null, by computing it again.
    void (*grad_sums)(const E* x, const E* g1, const E* g2, const E* y, E* g_out, int64_t rows, int64_t channels, Affine affine, bool relu, double* s1, double* s2, float* scratch);
    // dx = g * a + (x - mean) * b + d + more, with g masked by a ReLU that is computed again, where `relu`.
    void (*grad_input)(const E* x, const E* g, const E* more, E* dx, int64_t rows, int64_t channels, Affine affine, GradAffine grad, bool relu);
};

template <class E>
struct BatchNormTables {
    static const BatchNormKernels<E> generic, avx2, avx512, avx512bf16;
};

} // namespace gmx
