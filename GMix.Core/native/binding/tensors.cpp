// Making tensors from host memory, reading them back, and their metadata.
#include "shim.h"
#include <ATen/core/grad_mode.h>
#include <cstring>

using gmx::Handle;

GMX_API void gmx_tensor_free(Handle h) {
    if (!h) return;
    gmx::live_handles.fetch_sub(1, std::memory_order_relaxed);
    c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim(h);
}

// The largest tensor that goes to a GPU through pinned memory; a whole data set does not.
static constexpr int64_t kMostPinned = 64 << 20;

// Copies `bytes` bytes of row-major host memory into a new CPU tensor, then moves it to `device`. Small tensors go through pinned memory, from where
// the GPU takes them when it gets there: the host does not wait.
GMX_API int32_t gmx_tensor_from_host(const void* data, int64_t bytes, const int64_t* sizes, int32_t rank, int32_t dtype, const char* device, Handle* out) {
    return gmx::guarded([&] {
        c10::Device target{std::string(device)};
        const bool pinned = target.is_cuda() && bytes <= kMostPinned;
        auto options = at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype));
        auto t = at::empty(at::IntArrayRef(sizes, rank), pinned ? options.pinned_memory(true) : options);
        TORCH_CHECK(static_cast<int64_t>(t.nbytes()) == bytes, "the shape needs ", t.nbytes(), " bytes, ", bytes, " were given");
        if (bytes) std::memcpy(t.data_ptr(), data, bytes);
        *out = gmx::release(target.is_cpu() ? t : t.to(target, t.scalar_type(), /*non_blocking=*/pinned));
    });
}

// Overwrites `target` by `source` of the same shape and type. From host memory to a GPU it goes through pinned memory, and the host does not wait.
GMX_API int32_t gmx_tensor_upload(Handle target, Handle source) {
    return gmx::guarded([&] {
        at::NoGradGuard no_grad;
        auto to = gmx::borrow(target), from = gmx::borrow(source);
        TORCH_CHECK(to.sizes() == from.sizes() && to.scalar_type() == from.scalar_type(), "needs ", to.sizes(), " ", to.scalar_type(), ", was given ", from.sizes(), " ", from.scalar_type());
        const bool pinned = to.is_cuda() && from.device().is_cpu() && static_cast<int64_t>(from.nbytes()) <= kMostPinned;
        to.copy_(pinned ? from.pin_memory() : from, /*non_blocking=*/pinned);
    });
}

// Copies the tensor's elements, row-major, to host memory of exactly `bytes` bytes.
GMX_API int32_t gmx_tensor_to_host(Handle h, void* data, int64_t bytes) {
    return gmx::guarded([&] {
        at::NoGradGuard no_grad;
        auto t = gmx::borrow(h).detach().to(at::kCPU).contiguous();
        TORCH_CHECK(static_cast<int64_t>(t.nbytes()) == bytes, "the tensor has ", t.nbytes(), " bytes, room for ", bytes, " was given");
        if (bytes) std::memcpy(data, t.data_ptr(), bytes);
    });
}

GMX_API int32_t gmx_tensor_rank(Handle h) { return static_cast<int32_t>(h->dim()); }
GMX_API int64_t gmx_tensor_numel(Handle h) { return h->numel(); }
GMX_API int32_t gmx_tensor_dtype(Handle h) { return static_cast<int32_t>(c10::typeMetaToScalarType(h->dtype())); }
GMX_API void gmx_tensor_sizes(Handle h, int64_t* out) { auto s = h->sizes(); std::copy(s.begin(), s.end(), out); }
GMX_API void gmx_tensor_strides(Handle h, int64_t* out) { auto s = h->strides(); std::copy(s.begin(), s.end(), out); }
GMX_API int32_t gmx_tensor_is_cuda(Handle h) { return h->device().is_cuda(); }
GMX_API int32_t gmx_tensor_device_index(Handle h) { return h->device().has_index() ? h->device().index() : 0; }
GMX_API int32_t gmx_tensor_requires_grad(Handle h) { return gmx::borrow(h).requires_grad(); }

GMX_API int32_t gmx_tensor_set_requires_grad(Handle h, int32_t on) {
    return gmx::guarded([&] { gmx::borrow(h).set_requires_grad(on != 0); });
}

// One element as a double (a synchronisation on a GPU).
GMX_API int32_t gmx_tensor_item(Handle h, double* out) {
    return gmx::guarded([&] { *out = gmx::borrow(h).item().toDouble(); });
}
