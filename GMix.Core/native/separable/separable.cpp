// gmix::separable: ReLU(BN2(depthwise(ReLU(BN1(z))))), a depthwise separable layer without its pointwise convolution, as one node of the graph.
//
// Between the two normalisations there is one pass over memory each way. Forward it reads z, and writes u and sums its statistics; the activations in
// between exist a row at a time. Backward it makes them again, and out of z, u and the gradient of y writes that of z's normalised value, the
// filters' gradient and the sums that BN1's gradient needs.
//
// Training passes on channels-last float32 and bfloat16 tensors of the host whose channels fill whole vectors run here; all else is composed of
// gmix::batch_norm_act and gmix::depthwise_conv2d, as are second derivatives. Sums run over groups of images whose number does not depend on the
// threads: the same bits for any number of threads.
#include "batchnorm/batchnorm_passes.h"
#include "convolution/convolution.h"
#include "instructions.h"
#include "separable.h"
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/library.h>
#include <vector>

namespace {

using at::Tensor;
using gmx::BatchMoments;
using gmx::DepthwiseShape;

constexpr int64_t kGroups = 32;
constexpr int64_t kTogether = 32768; // elements of z that stay in the second-level cache beside u and both gradients

template <class E>
const gmx::SeparableKernels<E>& kernels() {
#if defined(__x86_64__)
    switch (gmx::instructions()) {
        case gmx::kAvx512Bf16: return gmx::SeparableTables<E>::avx512bf16;
        case gmx::kAvx512: return gmx::SeparableTables<E>::avx512;
        case gmx::kAvx2: return gmx::SeparableTables<E>::avx2;
        default: break;
    }
#endif
    return gmx::SeparableTables<E>::generic;
}

template <class E> E* data(const Tensor& t) { return static_cast<E*>(t.data_ptr()); }

template <class Body>
void for_type(const Tensor& x, const Body& body) {
    if (x.scalar_type() == at::kFloat) body(float());
    else body(uint16_t());
}

// One of the two normalisations: its trained numbers, and running statistics that move, or none.
struct Norm {
    Tensor weight, bias;
    at::TensorList running;
};

// How a pass normalises, beside the tensors.
struct Settings {
    int64_t stride;
    double momentum, eps;
};

DepthwiseShape shape_of(const Tensor& z, int64_t stride) {
    const int64_t h = z.size(2), w = z.size(3);
    return {z.size(1), h, w, (h - 1) / stride + 1, (w - 1) / stride + 1, static_cast<int>(stride)};
}

// (c, 1, 3, 3) of any type to 9 rows of c floats.
Tensor by_position(const Tensor& filter) { return filter.to(at::kFloat).reshape({-1, 9}).t().contiguous(); }

// Runs body(first image, images, group, scratch) for all images; groups are worked on by one thread each. Small images come several at a time: the numbers
// of a channel are fetched, and its sums written down, once for them all.
template <class Body>
void by_groups(int64_t images, int64_t groups, const DepthwiseShape& s, const Body& body) {
    const int64_t together = std::max<int64_t>(1, kTogether / (s.h * s.w * s.c));
    at::parallel_for(0, groups, 1, [&](int64_t first, int64_t last) {
        std::vector<float> scratch(gmx::separable_scratch(s));
        for (int64_t g = first; g < last; ++g)
            for (int64_t i = images * g / groups, end = images * (g + 1) / groups; i < end; i += together) body(i, std::min(together, end - i), g, scratch.data());
    });
}

// Adds all rows of `length` numbers to the first, in order.
template <class T>
void total(T* all, int64_t rows, int64_t length) {
    for (int64_t g = 1; g < rows; ++g)
        for (int64_t i = 0; i < length; ++i) all[i] += all[g * length + i];
}

struct Result {
    Tensor u, y;
    BatchMoments first, second;
};

Result forward(const Tensor& z, const Norm& first, const Tensor& filter, const Norm& second, const Settings& how) {
    const auto s = shape_of(z, how.stride);
    const int64_t images = z.size(0), groups = std::min(images, kGroups), in = s.h * s.w * s.c, out = s.oh * s.ow * s.c;
    Result result;
    Tensor none;
    result.first = gmx::batch_moments(z, none, none, first.running, how.momentum, how.eps);
    result.u = at::empty({images, s.c, s.oh, s.ow}, z.options().memory_format(at::MemoryFormat::ChannelsLast));
    const gmx::Prepared prepared(result.first, first.weight, first.bias);
    const Tensor weights = by_position(filter);
    const auto* w = data<float>(weights);
    std::vector<double> sums(groups * 2 * s.c, 0.0);
    std::vector<float> shift(s.c, 0.f);
    for_type(z, [&](auto element) {
        using E = decltype(element);
        const auto& kernel = kernels<E>();
        const E* from = data<E>(z);
        E* to = data<E>(result.u);
        // a value near each channel's mean: that of the first image. Sums of squares about it lose nothing to cancellation.
        std::vector<double> near(2 * s.c, 0.0);
        std::vector<float> scratch(gmx::separable_scratch(s));
        kernel.forward(s, 1, from, prepared.affine(), w, to, shift.data(), near.data(), near.data() + s.c, scratch.data());
        for (int64_t c = 0; c < s.c; ++c) shift[c] = static_cast<float>(near[c] / static_cast<double>(s.oh * s.ow));
        by_groups(images, groups, s, [&](int64_t i, int64_t count, int64_t g, float* memory) {
            double* s1 = sums.data() + g * 2 * s.c;
            kernel.forward(s, count, from + i * in, prepared.affine(), w, to + i * out, shift.data(), s1, s1 + s.c, memory);
        });
    });
    total(sums.data(), groups, 2 * s.c);
    result.second = gmx::moments_of_sums(sums.data(), sums.data() + s.c, shift.data(), s.c, images * s.oh * s.ow, second.running, how.momentum, how.eps);
    result.y = gmx::batch_norm_apply(result.u, {}, result.second, second.weight, second.bias, true);
    return result;
}

struct Gradients {
    Tensor z, weight1, bias1, filter, weight2, bias2;
};

Gradients backward(const Tensor& g, const Tensor& z, const Norm& first, const BatchMoments& moments1, const Tensor& filter, const Tensor& u, const Norm& second, const BatchMoments& moments2,
                   int64_t stride) {
    const auto s = shape_of(z, stride);
    const int64_t images = z.size(0), groups = std::min(images, kGroups), in = s.h * s.w * s.c, out = s.oh * s.ow * s.c;
    const gmx::Prepared prepared1(moments1, first.weight, first.bias), prepared2(moments2, second.weight, second.bias);
    const auto terms2 = gmx::batch_norm_relu_grad_terms(u, g, moments2, second.weight, second.bias);
    Tensor h = at::empty_like(z), dw = at::zeros({groups, 9, s.c}, z.options().dtype(at::kFloat).memory_format(at::MemoryFormat::Contiguous));
    const Tensor weights = by_position(filter);
    std::vector<double> sums(groups * 2 * s.c, 0.0);
    for_type(z, [&](auto element) {
        using E = decltype(element);
        const auto& kernel = kernels<E>();
        const E *pz = data<E>(z), *pu = data<E>(u), *pg = data<E>(g);
        E* ph = data<E>(h);
        const auto* w = data<float>(weights);
        auto* partial = data<float>(dw);
        by_groups(images, groups, s, [&](int64_t i, int64_t count, int64_t group, float* memory) {
            double* s1 = sums.data() + group * 2 * s.c;
            kernel.backward(s, count, pz + i * in, prepared1.affine(), w, pu + i * out, prepared2.affine(), pg + i * out, terms2.affine(), ph + i * in, partial + group * 9 * s.c, s1, s1 + s.c, memory);
        });
    });
    total(sums.data(), groups, 2 * s.c);
    total(data<float>(dw), groups, 9 * s.c);
    const auto terms1 = gmx::terms_of_sums(sums.data(), sums.data() + s.c, images * s.h * s.w, moments1, first.weight);
    gmx::batch_norm_grad_input(z, h, terms1, moments1);
    return {h, terms1.weight, terms1.bias, dw.select(0, 0).t().reshape(filter.sizes()).to(filter.scalar_type()), terms2.weight, terms2.bias};
}

// The same of operators that stand by themselves.
Tensor composed(const Tensor& z, const Norm& first, const Tensor& filter, const Norm& second, const Settings& how, bool training) {
    using BatchNormAct = std::vector<Tensor>(const Tensor&, const Tensor&, const Tensor&, at::TensorList, at::TensorList, at::TensorList, bool, double, double, bool, bool);
    static const auto norm = c10::Dispatcher::singleton().findSchemaOrThrow("gmix::batch_norm_act", "").typed<BatchNormAct>();
    static const auto depthwise = c10::Dispatcher::singleton().findSchemaOrThrow("gmix::depthwise_conv2d", "").typed<Tensor(const Tensor&, const Tensor&, int64_t)>();
    const auto a = norm.call(z, first.weight, first.bias, first.running, {}, {}, training, how.momentum, how.eps, true, false)[0];
    return norm.call(depthwise.call(a, filter, how.stride), second.weight, second.bias, second.running, {}, {}, training, how.momentum, how.eps, true, false)[0];
}

struct Separable : torch::autograd::Function<Separable> {
    static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& z, const Tensor& weight1, const Tensor& bias1, const Tensor& filter, const Tensor& weight2, const Tensor& bias2,
                          at::TensorList running1, at::TensorList running2, int64_t stride, double momentum, double eps) {
        at::AutoDispatchBelowADInplaceOrView below;
        const auto result = ::forward(z, {weight1, bias1, running1}, filter, {weight2, bias2, running2}, {stride, momentum, eps});
        ctx->save_for_backward({z, weight1, bias1, filter, weight2, bias2, result.u, result.first.mean, result.first.invstd, result.second.mean, result.second.invstd});
        ctx->saved_data["stride"] = stride;
        ctx->saved_data["eps"] = eps;
        return result.y;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx, torch::autograd::variable_list grads) {
        const auto saved = ctx->get_saved_variables();
        const torch::autograd::variable_list inputs(saved.begin(), saved.begin() + 6);
        torch::autograd::variable_list all(13); // as many as there are arguments at most; running statistics and settings have none
        if (!grads[0].defined()) return all;
        const Norm first{saved[1], saved[2], {}}, second{saved[4], saved[5], {}};
        const int64_t stride = ctx->saved_data["stride"].toInt();
        if (at::GradMode::is_enabled()) { // gradients that are to be differentiated again: out of operators that know their own
            const auto y = composed(saved[0], first, saved[3], second, {stride, 0, ctx->saved_data["eps"].toDouble()}, true);
            torch::autograd::variable_list wanted;
            for (const auto& input : inputs)
                if (input.requires_grad()) wanted.push_back(input);
            const auto got = torch::autograd::grad({y}, wanted, {grads[0]}, true, true);
            for (size_t i = 0, next = 0; i < inputs.size(); ++i)
                if (inputs[i].requires_grad()) all[i] = got[next++];
            return all;
        }
        const auto g = grads[0].to(saved[0].scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
        const auto got = ::backward(g, saved[0], first, {saved[7], saved[8]}, saved[3], saved[6], second, {saved[9], saved[10]}, stride);
        all[0] = got.z;
        all[1] = got.weight1;
        all[2] = got.bias1;
        all[3] = got.filter;
        all[4] = got.weight2;
        all[5] = got.bias2;
        return all;
    }
};

bool plain(const Tensor& t, int64_t channels) { return t.scalar_type() == at::kFloat && t.is_contiguous() && t.device().is_cpu() && t.numel() == channels; }

bool plain(const Norm& norm, int64_t channels) {
    for (const auto& t : norm.running)
        if (!plain(t, channels)) return false;
    return plain(norm.weight, channels) && plain(norm.bias, channels);
}

bool suited(const Tensor& z, const Norm& first, const Tensor& filter, const Norm& second, int64_t stride) {
    const int64_t c = z.dim() == 4 ? z.size(1) : 0;
    return gmx::batch_norm_takes(z) && c % gmx::kSeparableLanes == 0 && (stride == 1 || stride == 2) && plain(first, c) && plain(second, c) && filter.device().is_cpu()
        && (filter.scalar_type() == at::kFloat || filter.scalar_type() == z.scalar_type()) && filter.sizes().equals({c, 1, 3, 3});
}

// before, after: [weight, bias]; running: [mean, variance] or none, of which training moves both.
Tensor separable(const Tensor& z, at::TensorList before, at::TensorList running_before, const Tensor& filter, int64_t stride, at::TensorList after, at::TensorList running_after,
                 bool training, double momentum, double eps) {
    TORCH_CHECK(before.size() == 2 && after.size() == 2, "a normalisation has a weight and a bias");
    const Norm first{before[0], before[1], running_before}, second{after[0], after[1], running_after};
    const Settings how{stride, momentum, eps};
    if (!training || !suited(z, first, filter, second, stride)) return composed(z, first, filter, second, how, training);
    c10::impl::ExcludeDispatchKeyGuard without(c10::DispatchKey::AutocastCPU); // each part takes the types that it is given
    if (torch::autograd::compute_requires_grad(z, first.weight, first.bias, filter, second.weight, second.bias))
        return Separable::apply(z, first.weight, first.bias, filter, second.weight, second.bias, first.running, second.running, stride, momentum, eps);
    return forward(z, first, filter, second, how).y;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(gmix, m) {
    m.def("separable(Tensor z, Tensor[] before, Tensor[] running_before, Tensor filter, int stride, Tensor[] after, Tensor[] running_after, bool training, float momentum, float eps) -> Tensor", separable);
}
