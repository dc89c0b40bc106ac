// Softmax cross-entropy per example on labels λ a + (1 − λ) b, as one node of the graph:
// gmix::cross_entropy(logits (n, c), a (n), b (n) or none, λ (n) or none, s) with label smoothing s.
#include "shim.h"
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>
#include <cmath>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// an undefined tensor stands for 'none': its optional type is named differently from libtorch to libtorch
Tensor composite(const Tensor& logits, const Tensor& a, const Tensor& b, const Tensor& lambda, double smoothing) {
    auto log_p = at::log_softmax(logits, 1);
    auto pick = [&](const Tensor& labels) { return log_p.gather(1, labels.unsqueeze(1)).flatten(); };
    auto expected = pick(a);
    if (b.defined()) expected = lambda * expected + (1 - lambda) * pick(b);
    if (smoothing != 0) expected = (1 - smoothing) * expected + smoothing * log_p.mean(1);
    return -expected;
}

template <class Body>
void rows(int64_t n, int64_t classes, Body&& body) {
    // an exponential takes some ten times as long as an addition, by which libtorch measures what a thread is worth
    at::parallel_for(0, n, std::max<int64_t>(1, at::internal::GRAIN_SIZE / (10 * classes)), body);
}

template <class T>
void losses(const Tensor& logits, const int64_t* a, const int64_t* b, const T* lambda, T smoothing, T* loss, T* normaliser) {
    const int64_t n = logits.size(0), classes = logits.size(1);
    const T* z = logits.data_ptr<T>();
    rows(n, classes, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const T* row = z + i * classes;
            T most = row[0], sum = 0, mean = 0;
            for (int64_t c = 1; c < classes; ++c) most = row[c] > most || std::isnan(row[c]) ? row[c] : most;
            for (int64_t c = 0; c < classes; ++c) sum += std::exp(row[c] - most);
            const T log_sum = std::log(sum);
            T expected = row[a[i]] - most - log_sum;
            if (b) expected = lambda[i] * expected + (1 - lambda[i]) * (row[b[i]] - most - log_sum);
            if (smoothing != 0) {
                for (int64_t c = 0; c < classes; ++c) mean += row[c] - most - log_sum;
                expected = (1 - smoothing) * expected + smoothing * (mean / static_cast<T>(classes));
            }
            loss[i] = -expected;
            if (normaliser) { normaliser[2 * i] = most; normaliser[2 * i + 1] = log_sum; }
        }
    });
}

template <class T>
void gradients(const Tensor& logits, const int64_t* a, const int64_t* b, const T* lambda, T smoothing, const T* normaliser, const Tensor& upstream, T* out) {
    const int64_t n = logits.size(0), classes = logits.size(1), step = upstream.stride(0);
    const T *z = logits.data_ptr<T>(), *up = upstream.data_ptr<T>();
    rows(n, classes, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const T *row = z + i * classes, g = up[i * step], most = normaliser[2 * i], log_sum = normaliser[2 * i + 1];
            T* target = out + i * classes;
            const T spread = smoothing / static_cast<T>(classes);
            for (int64_t c = 0; c < classes; ++c) target[c] = g * (std::exp(row[c] - most - log_sum) - spread);
            const T own = b ? lambda[i] : T(1);
            target[a[i]] -= g * (1 - smoothing) * own;
            if (b) target[b[i]] -= g * (1 - smoothing) * (1 - own);
        }
    });
}

struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
    static Tensor forward(AutogradContext* context, const Tensor& logits, const Tensor& a, at::TensorList mixed, double smoothing) {
        const Tensor none, &b = mixed.empty() ? none : mixed[0], &lambda = mixed.empty() ? none : mixed[1];
        auto loss = at::empty({logits.size(0)}, logits.options());
        auto normaliser = at::empty({logits.size(0), 2}, logits.options());
        AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "cross_entropy", [&] {
            losses<scalar_t>(logits, a.data_ptr<int64_t>(), b.defined() ? b.data_ptr<int64_t>() : nullptr, b.defined() ? lambda.data_ptr<scalar_t>() : nullptr,
                static_cast<scalar_t>(smoothing), loss.data_ptr<scalar_t>(), normaliser.data_ptr<scalar_t>());
        });
        context->saved_data["smoothing"] = smoothing;
        context->save_for_backward(mixed.empty() ? variable_list{logits, a, normaliser} : variable_list{logits, a, normaliser, b, lambda});
        return loss;
    }

    static variable_list backward(AutogradContext* context, variable_list grads) {
        const auto saved = context->get_saved_variables();
        const Tensor none, &logits = saved[0], &a = saved[1], &normaliser = saved[2], &b = saved.size() > 3 ? saved[3] : none, &lambda = saved.size() > 3 ? saved[4] : none;
        const double smoothing = context->saved_data["smoothing"].toDouble();
        variable_list result(saved.size()); // one for each of logits, a, those that are mixed, smoothing
        if (!grads[0].defined()) return result;
        if (at::GradMode::is_enabled()) {
            // the caller wants to differentiate once more: libtorch's own operators know how
            result[0] = torch::autograd::grad({composite(logits, a, b, lambda, smoothing)}, {logits}, {grads[0]}, {}, /*create_graph=*/true)[0];
            return result;
        }
        auto out = at::empty_like(logits);
        AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "cross_entropy", [&] {
            gradients<scalar_t>(logits, a.data_ptr<int64_t>(), b.defined() ? b.data_ptr<int64_t>() : nullptr, b.defined() ? lambda.data_ptr<scalar_t>() : nullptr,
                static_cast<scalar_t>(smoothing), normaliser.data_ptr<scalar_t>(), grads[0], out.data_ptr<scalar_t>());
        });
        result[0] = out;
        return result;
    }
};

bool of_rows(const Tensor& t, at::ScalarType type, int64_t n) { return t.device().is_cpu() && t.scalar_type() == type && t.dim() == 1 && t.size(0) == n && t.is_contiguous(); }

Tensor cross_entropy(const Tensor& logits, const Tensor& a, at::TensorList mixed, double smoothing) {
    TORCH_CHECK(mixed.empty() || mixed.size() == 2, "mixed labels are the partner's class and lambda");
    const Tensor none, &b = mixed.empty() ? none : mixed[0], &lambda = mixed.empty() ? none : mixed[1];
    TORCH_CHECK(logits.dim() == 2, "logits are (n, classes), not of ", logits.dim(), " dimensions");
    const int64_t n = logits.size(0), classes = logits.size(1);
    const auto type = logits.scalar_type();
    const bool fused = logits.device().is_cpu() && (type == at::kFloat || type == at::kDouble) && logits.is_contiguous() && classes > 0
        && of_rows(a, at::kLong, n) && (mixed.empty() || (of_rows(b, at::kLong, n) && of_rows(lambda, type, n)));
    if (!fused) return composite(logits, a, b, lambda, smoothing);
    for (const auto* labels : {&a, &b}) {
        if (!labels->defined()) continue;
        const int64_t* p = labels->data_ptr<int64_t>();
        for (int64_t i = 0; i < n; ++i) TORCH_CHECK_INDEX(p[i] >= 0 && p[i] < classes, "class ", p[i], " of example ", i, " is not among ", classes, " classes");
    }
    return CrossEntropy::apply(logits, a, mixed, smoothing);
}

} // namespace

TORCH_LIBRARY_FRAGMENT(gmix, m) {
    m.def("cross_entropy(Tensor logits, Tensor a, Tensor[] mixed, float smoothing) -> Tensor", cross_entropy);
}
