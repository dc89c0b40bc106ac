// A perceptron, Linear and ReLU in turn, as one node of the graph: gmix::perceptron(x, [W1, b1, W2, b2, …]).
// Its gradients come as stretches of one block of memory in the weights' order, so that a flat gradient needs no copy (autograd.cpp).
#include "shim.h"
#include "small_gemm.h"
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>
#include <torch/version.h>
#include <vector>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kWorthWaking = 1 << 20; // multiply-adds below which a second thread costs more than it brings

bool autocasting() {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
    return at::autocast::is_autocast_enabled(at::kCPU);
#else
    return at::autocast::is_cpu_enabled();
#endif
}

Tensor composite(const Tensor& x, at::TensorList weights) {
    auto h = x;
    for (size_t i = 0; i + 1 < weights.size(); i += 2) {
        h = at::linear(h, weights[i], weights[i + 1]);
        if (i + 2 < weights.size()) h = at::relu(h);
    }
    return h;
}

bool plain(const Tensor& t) { return t.device().is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous(); }

bool fusable(const Tensor& x, at::TensorList weights) {
    if (x.dim() != 2 || x.size(0) == 0 || !plain(x) || autocasting()) return false;
    int64_t width = x.size(1);
    for (size_t i = 0; i < weights.size(); ++i) {
        const auto& w = weights[i];
        if (!plain(w)) return false;
        if (i % 2 == 0) { if (w.dim() != 2 || w.size(1) != width) return false; width = w.size(0); }
        else if (w.dim() != 1 || w.size(0) != width) return false;
    }
    return true;
}

template <class Body>
void split(int64_t count, int64_t unit, int64_t work, Body&& body) {
    if (work < kWorthWaking || count <= unit) return body(0, count);
    const int64_t units = (count + unit - 1) / unit;
    at::parallel_for(0, units, 1, [&](int64_t begin, int64_t end) { body(begin * unit, std::min(end * unit, count)); });
}

// y (n, out) = x Wᵀ + b, then ReLU
void layer(const Tensor& x, const Tensor& weight, const Tensor& bias, bool relu, Tensor& y) {
    const int64_t n = x.size(0), in = x.size(1), out = weight.size(0);
    const float *xp = x.data_ptr<float>(), *wp = weight.data_ptr<float>(), *bp = bias.data_ptr<float>();
    float* yp = y.data_ptr<float>();
    const auto& gemm = gmx::small_gemm();
    split(out, 4, n * in * out, [&](int64_t begin, int64_t end) {
        gemm.transposed(n, end - begin, in, xp, in, wp + begin * in, in, yp + begin, out);
        for (int64_t i = 0; i < n; ++i)
            for (int64_t j = begin; j < end; ++j) {
                const float v = yp[i * out + j] + bp[j];
                yp[i * out + j] = relu && v < 0 ? 0 : v;
            }
    });
}

struct Perceptron : torch::autograd::Function<Perceptron> {
    static Tensor forward(AutogradContext* context, const Tensor& x, at::TensorList weights) {
        variable_list saved{x};
        saved.insert(saved.end(), weights.begin(), weights.end());
        auto h = x;
        for (size_t i = 0; i < weights.size(); i += 2) {
            const bool last = i + 2 == weights.size();
            auto y = at::empty({x.size(0), weights[i].size(0)}, x.options());
            layer(h, weights[i], weights[i + 1], !last, y);
            if (!last) saved.push_back(y);
            h = y;
        }
        context->saved_data["layers"] = static_cast<int64_t>(weights.size() / 2);
        context->save_for_backward(saved);
        return h;
    }

    static variable_list backward(AutogradContext* context, variable_list grads) {
        const auto saved = context->get_saved_variables();
        const size_t layers = context->saved_data["layers"].toInt();
        const auto& x = saved[0];
        if (!grads[0].defined()) return variable_list(1 + 2 * layers);
        const at::TensorList weights(saved.data() + 1, 2 * layers);
        if (at::GradMode::is_enabled()) {
            // the caller wants to differentiate once more: libtorch's own operators know how
            variable_list inputs(saved.begin(), saved.begin() + 1 + 2 * layers), wanted;
            for (const auto& t : inputs) if (t.requires_grad()) wanted.push_back(t);
            auto found = torch::autograd::grad({composite(x, weights)}, wanted, {grads[0]}, {}, /*create_graph=*/true, /*allow_unused=*/true);
            variable_list all(inputs.size());
            for (size_t i = 0, next = 0; i < inputs.size(); ++i) if (inputs[i].requires_grad()) all[i] = found[next++];
            return all;
        }
        int64_t total = 0;
        for (const auto& w : weights) total += w.numel();
        auto flat = at::empty({total}, x.options());
        variable_list result(1 + 2 * layers);
        const auto& gemm = gmx::small_gemm();
        const int64_t n = x.size(0);
        auto g = grads[0].contiguous();
        int64_t end = total;
        for (size_t l = layers; l-- > 0;) {
            const auto& weight = weights[2 * l];
            const auto& input = l == 0 ? x : saved[2 * layers + l];
            const int64_t out = weight.size(0), in = weight.size(1);
            const float *gp = g.data_ptr<float>(), *ip = input.data_ptr<float>(), *wp = weight.data_ptr<float>();
            end -= out;
            const int64_t bias_at = end;
            end -= out * in;
            const int64_t weight_at = end;
            float *db = flat.data_ptr<float>() + bias_at, *dw = flat.data_ptr<float>() + weight_at;
            std::fill(db, db + out, 0.0f);
            for (int64_t i = 0; i < n; ++i) for (int64_t j = 0; j < out; ++j) db[j] += gp[i * out + j];
            // by rows where there are some for each thread: so the vectors' loops divide them too, and each processor finds its part in its own cache
            if (out >= 32) split(out, 4, n * in * out, [&](int64_t from, int64_t to) { gemm.plain(to - from, in, n, gp + from, 1, out, ip, in, dw + from * in, in); });
            else split(in, 128, n * in * out, [&](int64_t from, int64_t to) { gemm.plain(out, to - from, n, gp, 1, out, ip + from, in, dw + from, in); });
            result[2 + 2 * l] = flat.as_strided({out}, {1}, bias_at);
            result[1 + 2 * l] = flat.as_strided({out, in}, {in, 1}, weight_at);
            if (l == 0 && !context->needs_input_grad(0)) break;
            auto below = at::empty({n, in}, x.options());
            float* bp = below.data_ptr<float>();
            split(in, 64, n * in * out, [&](int64_t from, int64_t to) { gemm.plain(n, to - from, out, gp, out, 1, wp + from, in, bp + from, in); });
            // ReLU hands nothing down where it gave 0
            if (l > 0) for (int64_t i = 0; i < n * in; ++i) bp[i] = ip[i] > 0 ? bp[i] : 0;
            else result[0] = below;
            g = below;
        }
        return result;
    }
};

Tensor perceptron(const Tensor& x, at::TensorList weights) {
    TORCH_CHECK(!weights.empty() && weights.size() % 2 == 0, "a perceptron's weights come in pairs, not ", weights.size());
    return fusable(x, weights) ? Perceptron::apply(x, weights) : composite(x, weights);
}

} // namespace

TORCH_LIBRARY_FRAGMENT(gmix, m) {
    m.def("perceptron(Tensor x, Tensor[] weights) -> Tensor", perceptron);
}
