// gmix::batch_norm_act: batch normalisation together with what stands around it in a network.
//
//   v = x            or x + added, which is then returned too
//   y = act(BN(v) + residual)
//
// On channels-last float32 and bfloat16 tensors of the host it runs in two passes forward and two backward; all else (float64, other layouts,
// CUDA, running statistics with a graph) is composed of libtorch's operators, as are second derivatives of the fused form.
#include "batchnorm_passes.h"
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/library.h>
#include <memory>
#include <type_traits>

namespace {

using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

// Nodes of the graph are held by the standard library's pointer up to libtorch 2.13 or so, by libtorch's own in later ones. Names that only one of
// them knows stand where the compiler looks for them last: on values whose type a template gives.
using NodePointer = decltype(torch::autograd::Edge::function);
constexpr bool kStandardPointer = std::is_same_v<NodePointer, std::shared_ptr<torch::autograd::Node>>;

template <class T>
auto make_node() {
    // nodes of a deep graph must not delete each other recursively
    if constexpr (kStandardPointer) return std::shared_ptr<T>(new T(), [](auto* node) { deleteNode(node); });
    else return c10::make_intrusive<T>();
}

template <class T, class Pointer = NodePointer>
Pointer pointer_to(T* node) {
    if constexpr (kStandardPointer) return node->shared_from_this();
    else return Pointer::reclaim_copy(node);
}

at::Tensor like_activations(at::Tensor g, const at::Tensor& x) {
    if (!g.defined()) return g;
    if (g.scalar_type() != x.scalar_type()) g = g.to(x.scalar_type());
    return g.is_contiguous(at::MemoryFormat::ChannelsLast) ? g : g.contiguous(at::MemoryFormat::ChannelsLast);
}

// Outputs: y, then y again where it was asked for twice, then v where something was added. Inputs: x, added, residual, weight, bias.
struct BatchNormBackward : public torch::autograd::Node {
    SavedVariable x, weight, bias, y;
    gmx::BatchMoments moments;
    bool relu, twice, added, residual;
    double eps;

    std::string name() const override { return "BatchNormActBackward"; }

    void release_variables() override {
        std::lock_guard<std::mutex> lock(mutex_);
        for (auto* saved : {&x, &weight, &bias, &y}) saved->reset_data();
    }

    variable_list apply(variable_list&& gradients) override {
        std::lock_guard<std::mutex> lock(mutex_);
        const bool again = at::GradMode::is_enabled();
        auto v = x.unpack(added ? pointer_to(this) : nullptr), w = weight.unpack(), b = bias.unpack();
        auto result = y.unpack(pointer_to(this));
        auto more = added ? std::move(gradients.back()) : at::Tensor();
        auto g1 = std::move(gradients[0]), g2 = twice ? std::move(gradients[1]) : at::Tensor();
        gradients.clear();
        if (!g1.defined()) g1 = std::move(g2);
        if (!g1.defined()) return {more, added ? more : at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
        auto got = again ? differentiable(v, g2.defined() ? g1 + g2 : g1, more, result, w, b)
                         : gmx::batch_norm_gradients(v, like_activations(std::move(g1), v), like_activations(std::move(g2), v), like_activations(std::move(more), v), result, residual, moments, w, b, relu);
        return {got.x, added ? got.x : at::Tensor(), residual ? got.residual : at::Tensor(), got.weight, got.bias};
    }

    // The same gradients from operators that have derivatives of their own.
    gmx::BatchNormGradients differentiable(const at::Tensor& v, at::Tensor g, const at::Tensor& more, at::Tensor result, const at::Tensor& w, const at::Tensor& b) const {
        if (relu) {
            if (!result.defined()) result = gmx::batch_norm_apply(v.detach(), {}, moments, w.detach(), b.detach(), true);
            g = at::threshold_backward(g, result.detach(), 0);
        }
        const auto channels = w.numel();
        auto [dx, dw, db] = at::native_batch_norm_backward(g, v, w, {}, {}, moments.mean.narrow(0, 0, channels), moments.invstd.narrow(0, 0, channels), true, eps, {true, true, true});
        return {more.defined() ? dx + more : dx, g, dw, db};
    }

private:
    std::mutex mutex_;
};

bool plain(const at::Tensor& t) { return t.scalar_type() == at::kFloat && t.is_contiguous() && t.device().is_cpu(); }

bool fits(const at::Tensor& t, const at::Tensor& x) {
    return t.scalar_type() == x.scalar_type() && t.sizes() == x.sizes() && gmx::batch_norm_takes(t);
}

// A tensor with the same memory and nothing of the other's history.
at::Tensor alias_of(const at::Tensor& t) { return t.detach(); }

std::vector<at::Tensor> composed(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, at::TensorList running, at::TensorList added, at::TensorList residual,
                                 bool training, double momentum, double eps, bool relu, bool twice) {
    auto v = added.empty() ? x : x + added[0];
    auto y = running.empty() ? at::batch_norm(v, weight, bias, {}, {}, training, momentum, eps, true) : at::batch_norm(v, weight, bias, running[0], running[1], training, momentum, eps, true);
    if (!residual.empty()) y = y + residual[0];
    if (relu) y = y.relu_();
    std::vector<at::Tensor> results{y};
    if (twice) results.push_back(y);
    if (!added.empty()) results.push_back(v);
    return results;
}

std::vector<at::Tensor> batch_norm_act(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, at::TensorList running, at::TensorList added, at::TensorList residual,
                                       bool training, double momentum, double eps, bool relu, bool twice) {
    TORCH_CHECK(running.empty() || running.size() == 2, "running statistics are a mean and a variance");
    TORCH_CHECK(training || !running.empty(), "without running statistics the batch's have to be used");
    TORCH_CHECK(added.size() < 2 && residual.size() < 2, "at most one tensor is added on either side");
    auto first = [](at::TensorList list) { return list.empty() ? at::Tensor() : list[0]; };
    const auto other = first(added), side = first(residual);
    const bool graph = torch::autograd::compute_requires_grad(x, other, side, weight, bias);
    const bool fused = gmx::batch_norm_takes(x) && weight.numel() == x.size(1) && bias.numel() == x.size(1) && plain(weight) && plain(bias)
        && (running.empty() || (plain(running[0]) && plain(running[1]) && running[0].numel() == x.size(1) && running[1].numel() == x.size(1)))
        && (!other.defined() || fits(other, x)) && (!side.defined() || fits(side, x)) && (training || !graph);
    if (!fused) return composed(x, weight, bias, running, added, residual, training, momentum, eps, relu, twice);

    at::Tensor sum, y;
    gmx::BatchMoments moments;
    {
        at::AutoDispatchBelowAutograd below;
        if (training) moments = gmx::batch_moments(x, other, sum, running, momentum, eps);
        else {
            moments = gmx::running_moments(running, eps);
            if (other.defined()) sum = x + other;
        }
        y = gmx::batch_norm_apply(other.defined() ? sum : x, side, moments, weight, bias, relu);
    }
    std::vector<at::Tensor> results{y};
    if (twice) {
        at::AutoDispatchBelowADInplaceOrView below;
        results.push_back(alias_of(y));
    }
    if (other.defined()) results.push_back(sum);
    if (!graph) return results;

    auto node = make_node<BatchNormBackward>();
    node->set_next_edges(torch::autograd::collect_next_edges(x, other, side, weight, bias));
    for (auto& result : results) torch::autograd::set_history(result, node);
    node->x = other.defined() ? SavedVariable(results.back(), true) : SavedVariable(x, false);
    node->weight = SavedVariable(weight, false);
    node->bias = SavedVariable(bias, false);
    if (relu && side.defined()) node->y = SavedVariable(results[0], true);
    node->moments = moments;
    node->relu = relu;
    node->twice = twice;
    node->added = other.defined();
    node->residual = side.defined();
    node->eps = eps;
    return results;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(gmix, m) {
    m.def("batch_norm_act(Tensor x, Tensor weight, Tensor bias, Tensor[] running, Tensor[] added, Tensor[] residual, bool training, float momentum, float eps, bool relu, bool twice) -> Tensor[]", batch_norm_act);
}
