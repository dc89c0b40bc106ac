// Making tensors from host memory, reading them back, and their metadata.
#include "shim.h"
#include <cstring>

using gmx::Handle;

GMX_API void gmx_tensor_free(Handle h) {
    if (!h) return;
    gmx::live_handles.fetch_sub(1, std::memory_order_relaxed);
    c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim(h);
}

// Copies `bytes` bytes of row-major host memory into a new CPU tensor, then moves it to `device`.
GMX_API int32_t gmx_tensor_from_host(const void* data, int64_t bytes, const int64_t* sizes, int32_t rank, int32_t dtype, const char* device, Handle* out) {
    return gmx::guarded([&] {
        auto t = at::empty(at::IntArrayRef(sizes, rank), at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype)));
        TORCH_CHECK(static_cast<int64_t>(t.nbytes()) == bytes, "the shape needs ", t.nbytes(), " bytes, ", bytes, " were given");
        if (bytes) std::memcpy(t.data_ptr(), data, bytes);
        c10::Device target{std::string(device)};
        *out = gmx::release(target.is_cpu() ? t : t.to(target));
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
