// The passes of batch normalisation over whole tensors: the kernels of batchnorm.h on all threads, sums in an order that is always the same.
#pragma once
#include "shim.h"
#include "batchnorm.h"

namespace gmx {

// What the forward pass leaves for the backward pass: float32, padded(channels) long.
struct BatchMoments {
    at::Tensor mean, invstd;
};

// Whether the fused passes take this tensor: (n, c, h, w), channels-last, float32 or bfloat16, on the host, not empty.
bool batch_norm_takes(const at::Tensor& x);

// Mean and 1 / sqrt(variance + eps) of each channel over the batch; where `running` is [mean, variance] they move by `momentum`, the variance
// unbiased. `other` may be undefined; otherwise the values are x + other, which are also written to `sum`.
BatchMoments batch_moments(const at::Tensor& x, const at::Tensor& other, at::Tensor& sum, at::TensorList running, double momentum, double eps);

// The same two numbers from running statistics.
BatchMoments running_moments(at::TensorList running, double eps);

// act((x - mean) * invstd * weight + bias + residual); `residual` may be undefined.
at::Tensor batch_norm_apply(const at::Tensor& x, const at::Tensor& residual, const BatchMoments& moments, const at::Tensor& weight, const at::Tensor& bias, bool relu);

struct BatchNormGradients {
    at::Tensor x, residual, weight, bias;
};

// Gradients of batch_norm_apply on batch statistics, which depend on x.
// `y` is its result where a residual was added before ReLU, otherwise undefined. The gradient of the result is g1, or g1 + g2; that of x as it
// arrives from elsewhere is `more`. g1's memory is written over where nobody else has it.
BatchNormGradients batch_norm_gradients(const at::Tensor& x, at::Tensor g1, const at::Tensor& g2, const at::Tensor& more, const at::Tensor& y, bool residual,
                                        const BatchMoments& moments, const at::Tensor& weight, const at::Tensor& bias, bool relu);

// The widest instructions that are used: 0 what every processor has, 1 AVX2, 2 AVX-512, 3 AVX-512 with bfloat16; never more than the processor has. For tests.
void batch_norm_limit(int64_t level);

} // namespace gmx
