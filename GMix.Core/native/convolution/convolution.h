// What the convolutions of our own share: bias-free convolution through libtorch, its gradients, and autocast's type.
#pragma once
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/version.h>

namespace gmx {

// How a convolution without bias is laid out; square all over.
struct Window { int64_t stride, padding, groups; };

inline at::Tensor aten_conv2d(const at::Tensor& x, const at::Tensor& weight, Window window) {
    return at::conv2d(x, weight, {}, {window.stride, window.stride}, {window.padding, window.padding}, {1, 1}, window.groups);
}

// The gradients by input and weight that are asked for; the others undefined.
inline std::tuple<at::Tensor, at::Tensor> aten_conv2d_backward(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& weight, Window window, bool by_input, bool by_weight) {
    auto all = at::convolution_backward(grad, x, weight, at::OptionalIntArrayRef(), {window.stride, window.stride}, {window.padding, window.padding}, {1, 1}, false, {0, 0}, window.groups, {by_input, by_weight, false});
    return {std::get<0>(all), std::get<1>(all)};
}

inline at::ScalarType autocast_type() {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
    return at::autocast::get_autocast_dtype(at::kCPU);
#else
    return at::autocast::get_autocast_cpu_dtype();
#endif
}

inline at::Tensor autocast(const at::Tensor& t) { return at::autocast::cached_cast(autocast_type(), t, at::kCPU); }

inline bool is_channels_last(const at::Tensor& t) {
    return t.is_contiguous(at::MemoryFormat::ChannelsLast) || t.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
}

} // namespace gmx
