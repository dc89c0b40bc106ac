// What the streaming pipeline needs beyond libtorch's operators: the memory of a host tensor, to be filled by a thread of its own.
#include "shim.h"

// Address of the first element of a contiguous tensor in host memory; valid while the handle's tensor lives.
GMX_API int32_t gmx_tensor_host_data(gmx::Handle h, void** out) {
    return gmx::guarded([&] {
        auto t = gmx::borrow(h);
        TORCH_CHECK(t.device().is_cpu() && t.is_contiguous(), "only a contiguous tensor in host memory has an address to write to");
        *out = t.data_ptr();
    });
}
