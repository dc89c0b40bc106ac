// gmix::depthwise_conv2d(x, weight, stride): 3x3 filters, one per channel, padding 1, as an operator of the dispatcher.
//
// float32 and bfloat16 activations in channels-last memory on the CPU run here; everything else goes to aten's convolution. Weights may be of
// another type than activations: under autocast activations are bfloat16 while weights, and with them the weights' gradient, stay float32,
// because the kernels compute in float32 anyway and there is nothing to gain from rounding them.
//
// The weights' gradient is summed over groups of images whose number does not depend on the threads, and the groups in order: the same bits
// for any number of threads.
#include "shim.h"
#include "instructions.h"
#include "convolution.h"
#include "depthwise.h"
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace {

using at::Tensor;
using gmx::DepthwiseShape;

constexpr int64_t kGroups = 32;         // sums of the weights' gradient
constexpr int64_t kWorthAThread = 8192; // activations

template <class E>
const gmx::DepthwiseKernels<E>& kernels() {
#if defined(__x86_64__)
    if (gmx::instructions() >= gmx::kAvx512) return gmx::DepthwiseTables<E>::avx512;
    if (gmx::instructions() >= gmx::kAvx2) return gmx::DepthwiseTables<E>::avx2;
#endif
    return gmx::DepthwiseTables<E>::generic;
}

template <class Body>
void for_type(const Tensor& x, const Body& body) {
    if (x.scalar_type() == at::kFloat) body(float());
    else body(uint16_t());
}

template <class E> E* data(const Tensor& t) { return static_cast<E*>(t.data_ptr()); }

DepthwiseShape shape_of(const Tensor& x, int64_t stride) {
    const int64_t h = x.size(2), w = x.size(3);
    return {x.size(1), h, w, (h - 1) / stride + 1, (w - 1) / stride + 1, static_cast<int>(stride)};
}

int64_t images_a_thread(const DepthwiseShape& s) { return std::max<int64_t>(1, kWorthAThread / (s.c * s.h * s.w)); }

// (c, 1, 3, 3) of any type to 9 rows of c floats.
Tensor by_position(const Tensor& weight) { return weight.to(at::kFloat).reshape({-1, 9}).t().contiguous(); }

Tensor forward(const Tensor& input, const Tensor& weight, int64_t stride) {
    const Tensor x = input.contiguous(at::MemoryFormat::ChannelsLast), w = by_position(weight);
    const auto s = shape_of(x, stride);
    Tensor y = at::empty({x.size(0), s.c, s.oh, s.ow}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
    for_type(x, [&](auto element) {
        using E = decltype(element);
        const auto& kernel = kernels<E>();
        const E* from = data<E>(x);
        E* to = data<E>(y);
        const float* weights = data<float>(w);
        at::parallel_for(0, x.size(0), images_a_thread(s), [&](int64_t i, int64_t end) {
            for (; i < end; ++i) kernel.forward(s, from + i * s.h * s.w * s.c, weights, to + i * s.oh * s.ow * s.c);
        });
    });
    return y;
}

// Gradients by input and by weight; an undefined tensor where not asked for. An image's two gradients are taken one after the other, while
// its rows are in the cache.
std::tuple<Tensor, Tensor> backward(const Tensor& grad, const Tensor& input, const Tensor& weight, int64_t stride, bool by_input, bool by_weight) {
    const Tensor x = input.contiguous(at::MemoryFormat::ChannelsLast), dy = grad.to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    const auto s = shape_of(x, stride);
    const int64_t images = x.size(0), groups = std::min(images, kGroups), length = 9 * s.c;
    Tensor dx, w, sums, dw;
    if (by_input) { dx = at::empty_like(x); w = by_position(weight); }
    if (by_weight) sums = at::zeros({groups, 9, s.c}, x.options().dtype(at::kFloat).memory_format(at::MemoryFormat::Contiguous));
    for_type(x, [&](auto element) {
        using E = decltype(element);
        const auto& kernel = kernels<E>();
        const E *inputs = data<E>(x), *grads = data<E>(dy);
        E* dxs = by_input ? data<E>(dx) : nullptr;
        const float* weights = by_input ? data<float>(w) : nullptr;
        float* partial = by_weight ? data<float>(sums) : nullptr;
        const int64_t grain = std::max<int64_t>(1, images_a_thread(s) * groups / std::max<int64_t>(1, images));
        at::parallel_for(0, groups, grain, [&](int64_t first, int64_t last) {
            for (int64_t g = first; g < last; ++g)
                for (int64_t i = images * g / groups; i < images * (g + 1) / groups; ++i) {
                    const int64_t in = i * s.h * s.w * s.c, out = i * s.oh * s.ow * s.c;
                    if (partial) kernel.weight_gradient(s, inputs + in, grads + out, partial + g * length);
                    if (dxs) kernel.input_gradient(s, grads + out, weights, dxs + in);
                }
        });
    });
    if (by_weight) {
        float* total = data<float>(sums);
        for (int64_t g = 1; g < groups; ++g)
            for (int64_t i = 0; i < length; ++i) total[i] += total[g * length + i];
        dw = sums.select(0, 0).t().reshape(weight.sizes()).to(weight.scalar_type());
    }
    return {dx, dw};
}

bool suited(const Tensor& x, const Tensor& weight, int64_t stride) {
    const auto type = x.scalar_type();
    return x.device().is_cpu() && x.dim() == 4 && x.numel() > 0 && (type == at::kFloat || type == at::kBFloat16) && (stride == 1 || stride == 2)
        && (weight.scalar_type() == at::kFloat || weight.scalar_type() == type)
        && weight.dim() == 4 && weight.size(0) == x.size(1) && weight.size(1) == 1 && weight.size(2) == 3 && weight.size(3) == 3
        && gmx::is_channels_last(x);
}

gmx::Window window(const Tensor& weight, int64_t stride) { return {stride, 1, weight.size(0)}; }

struct Depthwise : torch::autograd::Function<Depthwise> {
    static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& x, const Tensor& weight, int64_t stride) {
        ctx->save_for_backward({x, weight});
        ctx->saved_data["stride"] = stride;
        at::AutoDispatchBelowADInplaceOrView below;
        return ::forward(x, weight, stride);
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx, torch::autograd::variable_list grads) {
        const auto saved = ctx->get_saved_variables();
        const Tensor &x = saved[0], &weight = saved[1];
        const int64_t stride = ctx->saved_data["stride"].toInt();
        const bool by_input = ctx->needs_input_grad(0), by_weight = ctx->needs_input_grad(1);
        if (!grads[0].defined()) return {Tensor(), Tensor(), Tensor()};
        Tensor dx, dw;
        if (at::GradMode::is_enabled()) {
            // a gradient that is to be differentiated again: out of operators that know their own
            std::tie(dx, dw) = gmx::aten_conv2d_backward(grads[0], x, weight.to(x.scalar_type()), window(weight, stride), by_input, by_weight);
            if (dw.defined()) dw = dw.to(weight.scalar_type());
        } else {
            std::tie(dx, dw) = ::backward(grads[0], x, weight, stride, by_input, by_weight);
        }
        return {dx, dw, Tensor()};
    }
};

Tensor depthwise_conv2d(const Tensor& x, const Tensor& weight, int64_t stride) {
    return suited(x, weight, stride) ? Depthwise::apply(x, weight, stride) : gmx::aten_conv2d(x, weight.to(x.scalar_type()), window(weight, stride));
}

Tensor depthwise_conv2d_autocast(const Tensor& x, const Tensor& weight, int64_t stride) {
    if (!suited(x, weight, stride)) return gmx::aten_conv2d(x, weight, window(weight, stride));
    c10::impl::ExcludeDispatchKeyGuard without(c10::DispatchKey::AutocastCPU);
    return depthwise_conv2d(gmx::autocast(x), weight, stride);
}

TORCH_LIBRARY_FRAGMENT(gmix, m) {
    m.def("depthwise_conv2d(Tensor x, Tensor weight, int stride) -> Tensor", depthwise_conv2d);
}
TORCH_LIBRARY_IMPL(gmix, AutocastCPU, m) { m.impl("depthwise_conv2d", depthwise_conv2d_autocast); }

} // namespace
