// The passes of batch normalisation over whole tensors: the kernels of batchnorm.h on all threads, sums in an order that is always the same.
#pragma once
#include "shim.h"
#include "batchnorm.h"

namespace gmx {

// What the forward pass leaves for the backward pass: float32, padded(channels) long.
struct BatchMoments {
    at::Tensor mean, invstd;
};

// The per-channel numbers that kernels take.
struct Prepared {
    at::Tensor mean, scale, bias;
    Prepared(const BatchMoments& moments, const at::Tensor& weight, const at::Tensor& shift);
    Affine affine() const { return {mean.data_ptr<float>(), scale.data_ptr<float>(), bias.data_ptr<float>()}; }
};

// Whether the fused passes take this tensor: (n, c, h, w), channels-last, float32 or bfloat16, on the host, not empty.
bool batch_norm_takes(const at::Tensor& x);

// Mean and 1 / sqrt(variance + eps) of each channel over the batch; where `running` is [mean, variance] they move by `momentum`, the variance
// unbiased. `other` may be undefined; otherwise the values are x + other, which are also written to `sum`.
BatchMoments batch_moments(const at::Tensor& x, const at::Tensor& other, at::Tensor& sum, at::TensorList running, double momentum, double eps);

// The same from sums over `rows` rows that someone took already: s1 of (x - shift), s2 of its square.
BatchMoments moments_of_sums(const double* s1, const double* s2, const float* shift, int64_t channels, int64_t rows, at::TensorList running, double momentum, double eps);

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

// What the two passes of a gradient share: the gradients of weight and bias, and those by which g becomes the gradient of x.
struct GradTerms {
    at::Tensor weight, bias, a, b, d;
    GradAffine affine() const { return {a.data_ptr<float>(), b.data_ptr<float>(), d.data_ptr<float>()}; }
};

// batch_norm_gradients in parts, for who takes sums or writes gradients on the way: out of s1 = sum of g and s2 = sum of g * (x - mean), g masked by
// ReLU; the same where g is the gradient of ReLU(BN(x)); and x's gradient out of a masked g, written over it.
GradTerms terms_of_sums(const double* s1, const double* s2, int64_t rows, const BatchMoments& moments, const at::Tensor& weight);
GradTerms batch_norm_relu_grad_terms(const at::Tensor& x, const at::Tensor& g, const BatchMoments& moments, const at::Tensor& weight, const at::Tensor& bias);
void batch_norm_grad_input(const at::Tensor& x, at::Tensor& g, const GradTerms& terms, const BatchMoments& moments);

} // namespace gmx
