// Reverse-mode differentiation.
#include "shim.h"
#include <torch/csrc/autograd/autograd.h>
#include <ATen/core/grad_mode.h>
#include <vector>

using gmx::Handle;

GMX_API int32_t gmx_grad_enabled() { return at::GradMode::is_enabled(); }
GMX_API void gmx_set_grad_enabled(int32_t on) { at::GradMode::set_enabled(on != 0); }

static std::vector<at::Tensor> borrow_all(const Handle* handles, int32_t n) {
    std::vector<at::Tensor> v;
    v.reserve(n);
    for (int32_t i = 0; i < n; ++i) v.push_back(gmx::borrow(handles[i]));
    return v;
}

// d(output)/d(inputs) as new tensors; `seed` may be null for a scalar output. An input that does not take part gives null.
GMX_API int32_t gmx_grad(Handle output, Handle seed, const Handle* inputs, int32_t n, int32_t retain_graph, int32_t create_graph, Handle* out) {
    return gmx::guarded([&] {
        std::vector<at::Tensor> seeds;
        if (seed) seeds.push_back(gmx::borrow(seed));
        auto grads = torch::autograd::grad({gmx::borrow(output)}, borrow_all(inputs, n), seeds, retain_graph != 0, create_graph != 0, /*allow_unused=*/true);
        for (int32_t i = 0; i < n; ++i) out[i] = gmx::release(grads[i]);
    });
}

// Whether gradients already lie one after another in one block of memory, each in its input's layout: a fused backward pass writes them so.
static bool in_a_row(const std::vector<at::Tensor>& inputs, const std::vector<at::Tensor>& grads) {
    for (size_t i = 0; i < inputs.size(); ++i) {
        if (!grads[i].defined() || grads[i].strides() != inputs[i].strides() || grads[i].sizes() != inputs[i].sizes() || grads[i].scalar_type() != inputs[i].scalar_type()) return false;
        if (i > 0 && (!grads[i].is_alias_of(grads[0]) || grads[i].storage_offset() != grads[i - 1].storage_offset() + grads[i - 1].numel())) return false;
    }
    return true;
}

// d(output)/d(inputs) as one flat vector: the elements of each input in its own memory order, one after another. One call a backward pass.
// Inputs that do not take part get zeros. Of an output that is no scalar, the mean is differentiated: nobody asked for its value, so it is not taken,
// and each element's share of it is the seed.
GMX_API int32_t gmx_grad_flat(Handle output, const Handle* inputs, int32_t n, int32_t retain_graph, Handle* out) {
    return gmx::guarded([&] {
        auto parameters = borrow_all(inputs, n);
        auto from = gmx::borrow(output);
        std::vector<at::Tensor> seeds;
        if (from.dim() > 0) {
            at::NoGradGuard no_grad;
            seeds.push_back(at::full(from.sizes(), 1.0 / static_cast<double>(from.numel()), from.options()));
        }
        auto grads = torch::autograd::grad({from}, parameters, seeds, retain_graph != 0, false, /*allow_unused=*/true);
        at::NoGradGuard no_grad;
        int64_t total = 0;
        for (const auto& p : parameters) total += p.numel();
        if (in_a_row(parameters, grads)) {
            *out = gmx::release(grads[0].as_strided({total}, {1}, grads[0].storage_offset()));
            return;
        }
        auto flat = at::empty({total}, parameters.at(0).options());
        int64_t offset = 0;
        for (int32_t i = 0; i < n; ++i) {
            const auto& p = parameters[i];
            auto target = flat.as_strided(p.sizes(), p.strides(), offset);
            if (grads[i].defined()) target.copy_(grads[i]);
            else target.zero_();
            offset += p.numel();
        }
        *out = gmx::release(flat);
    });
}
