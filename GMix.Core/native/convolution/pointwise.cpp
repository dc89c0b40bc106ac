// gmix::pointwise_conv2d(x, weight): 1x1 convolution without bias as an operator of the dispatcher.
//
// Forward and the input's gradient are libtorch's (oneDNN reaches the processor's peak in both). The weights' gradient, a product of two
// matrices that are tall (positions of all images) and narrow (channels), is a plain matrix product where there are few positions: oneDNN's
// convolution takes 8.6 ms where the product takes 2.7 at 1,024 channels of 128 2x2 images.
#include "shim.h"
#include "convolution.h"
#include <ATen/Context.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

extern "C" int32_t gmx_cpu_has_bf16();

namespace {

using at::Tensor;

// Beyond it the convolution is the faster one: it reads the tall matrices where they lie, the product turns one of them first.
constexpr int64_t kMostRows = 8192;
constexpr gmx::Window kWindow{1, 0, 1};

// bfloat16 only, where oneDNN multiplies it: a float32 product goes to a BLAS that may be any.
bool as_product(const Tensor& x) {
    static const bool bf16 = gmx_cpu_has_bf16() != 0;
    return bf16 && at::globalContext().userEnabledMkldnn() && x.numel() / x.size(1) <= kMostRows;
}

Tensor rows(const Tensor& t) { return t.contiguous(at::MemoryFormat::ChannelsLast).permute({0, 2, 3, 1}).reshape({-1, t.size(1)}); }

struct Pointwise : torch::autograd::Function<Pointwise> {
    static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& x, const Tensor& weight) {
        ctx->save_for_backward({x, weight});
        at::AutoDispatchBelowADInplaceOrView below;
        return gmx::aten_conv2d(x, weight, kWindow);
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx, torch::autograd::variable_list grads) {
        const auto saved = ctx->get_saved_variables();
        const Tensor &x = saved[0], &weight = saved[1];
        const bool by_input = ctx->needs_input_grad(0), by_weight = ctx->needs_input_grad(1);
        if (!grads[0].defined()) return {Tensor(), Tensor()};
        const bool product = by_weight && !at::GradMode::is_enabled() && as_product(x); // a gradient to be differentiated again: aten's
        Tensor dx, dw;
        if (by_input || !product) std::tie(dx, dw) = gmx::aten_conv2d_backward(grads[0], x, weight, kWindow, by_input, by_weight && !product);
        if (product) dw = at::mm(rows(grads[0]).t(), rows(x)).view(weight.sizes());
        return {dx, dw};
    }
};

bool suited(const Tensor& x, const Tensor& weight, at::ScalarType type) {
    return x.device().is_cpu() && type == at::kBFloat16 && x.dim() == 4 && x.numel() > 0 && weight.dim() == 4
        && weight.size(1) == x.size(1) && weight.size(2) == 1 && weight.size(3) == 1 && gmx::is_channels_last(x);
}

Tensor pointwise_conv2d(const Tensor& x, const Tensor& weight) {
    return suited(x, weight, x.scalar_type()) && weight.scalar_type() == x.scalar_type() ? Pointwise::apply(x, weight) : gmx::aten_conv2d(x, weight, kWindow);
}

Tensor pointwise_conv2d_autocast(const Tensor& x, const Tensor& weight) {
    if (!suited(x, weight, gmx::autocast_type())) return gmx::aten_conv2d(x, weight, kWindow);
    c10::impl::ExcludeDispatchKeyGuard without(c10::DispatchKey::AutocastCPU);
    return pointwise_conv2d(gmx::autocast(x), gmx::autocast(weight));
}

TORCH_LIBRARY_FRAGMENT(gmix, m) { m.def("pointwise_conv2d(Tensor x, Tensor weight) -> Tensor", pointwise_conv2d); }
TORCH_LIBRARY_IMPL(gmix, AutocastCPU, m) { m.impl("pointwise_conv2d", pointwise_conv2d_autocast); }

} // namespace
