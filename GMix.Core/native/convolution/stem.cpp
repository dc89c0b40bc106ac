// gmix::stem_conv2d(x, weight, stride): the first 3x3 convolution of a network for images, padding 1, no bias, as an operator of the dispatcher.
//
// Forward and the input's gradient, which training does not ask for, are libtorch's. The weights' gradient of channels-last float32 and bfloat16 images
// on the CPU has a kernel of its own (stem_kernels.inl). Under autocast the weights stay float32, and so does their gradient. It is summed over groups
// of images whose number does not depend on the threads: the same bits for any number of threads.
#include "shim.h"
#include "convolution.h"
#include "instructions.h"
#include "stem.h"
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>
#include <vector>

namespace {

using at::Tensor;
using gmx::StemShape;

constexpr int64_t kGroups = 32;

template <class E>
const gmx::StemKernels<E>& kernels() {
#if defined(__x86_64__)
    if (gmx::instructions() >= gmx::kAvx512) return gmx::StemTables<E>::avx512;
    if (gmx::instructions() >= gmx::kAvx2) return gmx::StemTables<E>::avx2;
#endif
    return gmx::StemTables<E>::generic;
}

template <class E>
Tensor weight_gradient(const Tensor& x, const Tensor& dy, const StemShape& s) {
    const int64_t images = x.size(0), groups = std::min(images, kGroups), length = 9 * s.inputs * s.outputs;
    auto sums = at::zeros({groups, length}, x.options().dtype(at::kFloat).memory_format(at::MemoryFormat::Contiguous));
    const auto& kernel = kernels<E>();
    const E *inputs = static_cast<const E*>(x.data_ptr()), *grads = static_cast<const E*>(dy.data_ptr());
    float* all = sums.data_ptr<float>();
    at::parallel_for(0, groups, 1, [&](int64_t first, int64_t last) {
        std::vector<float> scratch(gmx::stem_scratch(s));
        for (int64_t g = first; g < last; ++g)
            for (int64_t i = images * g / groups; i < images * (g + 1) / groups; ++i)
                kernel.weight_gradient(s, inputs + i * s.h * s.w * s.inputs, grads + i * s.oh * s.ow * s.outputs, all + g * length, scratch.data());
    });
    for (int64_t g = 1; g < groups; ++g)
        for (int64_t i = 0; i < length; ++i) all[i] += all[g * length + i];
    return sums.select(0, 0).view({3, 3, s.inputs, s.outputs}).permute({3, 2, 0, 1});
}

bool suited(const Tensor& x, const Tensor& weight, at::ScalarType type, int64_t stride) {
    return x.device().is_cpu() && (type == at::kFloat || type == at::kBFloat16) && x.dim() == 4 && x.numel() > 0 && weight.dim() == 4 && weight.size(1) == x.size(1)
        && x.size(1) <= gmx::kMostColours && weight.size(0) % gmx::kStemLanes == 0 && weight.size(2) == 3 && weight.size(3) == 3 && (stride == 1 || stride == 2)
        && (weight.scalar_type() == at::kFloat || weight.scalar_type() == type) && gmx::is_channels_last(x);
}

gmx::Window window(int64_t stride) { return {stride, 1, 1}; }

struct Stem : torch::autograd::Function<Stem> {
    static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& x, const Tensor& weight, int64_t stride) {
        ctx->save_for_backward({x, weight});
        ctx->saved_data["stride"] = stride;
        at::AutoDispatchBelowADInplaceOrView below;
        return gmx::aten_conv2d(x, weight.to(x.scalar_type()), window(stride));
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx, torch::autograd::variable_list grads) {
        const auto saved = ctx->get_saved_variables();
        const Tensor &x = saved[0], &weight = saved[1];
        const int64_t stride = ctx->saved_data["stride"].toInt();
        const bool by_input = ctx->needs_input_grad(0), by_weight = ctx->needs_input_grad(1);
        if (!grads[0].defined()) return {Tensor(), Tensor(), Tensor()};
        const bool own = by_weight && !at::GradMode::is_enabled(); // a gradient that is to be differentiated again: aten's
        Tensor dx, dw;
        if (by_input || !own) std::tie(dx, dw) = gmx::aten_conv2d_backward(grads[0], x, weight.to(x.scalar_type()), window(stride), by_input, by_weight && !own);
        if (own) {
            const Tensor images = x.contiguous(at::MemoryFormat::ChannelsLast), dy = grads[0].to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
            const StemShape s{x.size(1), dy.size(1), x.size(2), x.size(3), dy.size(2), dy.size(3), static_cast<int>(stride)};
            dw = x.scalar_type() == at::kFloat ? weight_gradient<float>(images, dy, s) : weight_gradient<uint16_t>(images, dy, s);
        }
        if (dw.defined()) dw = dw.to(weight.scalar_type());
        return {dx, dw, Tensor()};
    }
};

Tensor stem_conv2d(const Tensor& x, const Tensor& weight, int64_t stride) {
    return suited(x, weight, x.scalar_type(), stride) ? Stem::apply(x, weight, stride) : gmx::aten_conv2d(x, weight, window(stride));
}

Tensor stem_conv2d_autocast(const Tensor& x, const Tensor& weight, int64_t stride) {
    if (!suited(x, weight, gmx::autocast_type(), stride)) return gmx::aten_conv2d(x, weight, window(stride));
    c10::impl::ExcludeDispatchKeyGuard without(c10::DispatchKey::AutocastCPU);
    return stem_conv2d(gmx::autocast(x), weight, stride);
}

TORCH_LIBRARY_FRAGMENT(gmix, m) { m.def("stem_conv2d(Tensor x, Tensor weight, int stride) -> Tensor", stem_conv2d); }
TORCH_LIBRARY_IMPL(gmix, AutocastCPU, m) { m.impl("stem_conv2d", stem_conv2d_autocast); }

} // namespace
