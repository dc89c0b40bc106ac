// What every file of the shim shares: handles, the error boundary, the live-handle count.
// A handle is a c10::TensorImpl* that owns one reference. Nothing thrown ever crosses the C boundary.
#pragma once
#include <ATen/ATen.h>
#include <atomic>
#include <cstdint>
#include <exception>
#include <string>

#define GMX_API extern "C" __attribute__((visibility("default")))

namespace gmx {

// Kinds of failure as .NET sees them (TorchErrorKind in Torch/TorchException.cs mirrors this list).
enum Status : int32_t { kOk = 0, kError = 1, kIndex = 2, kValue = 3, kType = 4, kNotImplemented = 5, kOutOfMemory = 6, kNoCuda = 7 };

// What was asked for needs a GPU, and this libtorch, or the shim as it was built, has no CUDA.
struct NoCuda : std::exception {
    const char* what() const noexcept override { return "this libtorch has no CUDA"; }
};

using Handle = c10::TensorImpl*;

extern std::atomic<int64_t> live_handles;
void set_error(std::string message);

inline Handle release(at::Tensor tensor) {
    if (!tensor.defined()) return nullptr;
    live_handles.fetch_add(1, std::memory_order_relaxed);
    return tensor.unsafeReleaseTensorImpl();
}

// A second reference to the tensor behind a handle; the handle keeps its own.
inline at::Tensor borrow(Handle handle) {
    if (!handle) return at::Tensor();
    return at::Tensor(c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim_copy(handle));
}

// Translates the exception in flight into a status and the thread's error text.
Status status_of_current_exception();

template <class Body>
int32_t guarded(Body&& body) {
    try { body(); return kOk; }
    catch (...) { return status_of_current_exception(); }
}

} // namespace gmx
