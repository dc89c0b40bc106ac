// Process-wide matters: threads, determinism, precision, random generators, the allocator, what the machine is.
#include "shim.h"
#include "instructions.h"
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <ATen/Version.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/version.h>
#include <malloc.h>
#include <cstring>

#define GMX_TORCH_AT_LEAST(major, minor) (TORCH_VERSION_MAJOR > (major) || (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

static int32_t put_text(const std::string& text, char* out, int32_t capacity) {
    if (capacity > 0) { std::strncpy(out, text.c_str(), capacity - 1); out[capacity - 1] = 0; }
    return static_cast<int32_t>(text.size());
}

GMX_API int32_t gmx_torch_version(char* out, int32_t capacity) { return put_text(TORCH_VERSION, out, capacity); }
GMX_API int32_t gmx_build_info(char* out, int32_t capacity) { return put_text(at::show_config(), out, capacity); }

GMX_API int32_t gmx_get_threads() { return at::get_num_threads(); }
GMX_API int32_t gmx_set_threads(int32_t n) { return gmx::guarded([&] { at::set_num_threads(n); }); }

GMX_API int32_t gmx_set_deterministic(int32_t on) {
    return gmx::guarded([&] {
        auto& context = at::globalContext();
        context.setDeterministicAlgorithms(on != 0, /*warn_only=*/true);
        context.setDeterministicCuDNN(on != 0);
        context.setBenchmarkCuDNN(on == 0);
#if GMX_TORCH_AT_LEAST(2, 2)
        // filling every new tensor would only hide reads of memory that nobody wrote, at the price of writing all memory twice
        context.setDeterministicFillUninitializedMemory(false);
#endif
    });
}

// TF32 on a GPU, for matrix products and for convolutions. Both setters and getters have kept their names up to 2.11; the newer precision words,
// mixed with them, would be an error.
GMX_API int32_t gmx_set_tf32(int32_t products, int32_t convolutions) {
    return gmx::guarded([&] { at::globalContext().setAllowTF32CuBLAS(products != 0); at::globalContext().setAllowTF32CuDNN(convolutions != 0); });
}

// Bit 0: matrix products, bit 1: convolutions.
GMX_API int32_t gmx_get_tf32(int32_t* out) {
    return gmx::guarded([&] { *out = (at::globalContext().allowTF32CuBLAS() ? 1 : 0) | (at::globalContext().allowTF32CuDNN() ? 2 : 0); });
}

// Lets cuDNN time its algorithms for each new shape and take the fastest. Which one that is may differ from run to run.
GMX_API int32_t gmx_set_cudnn_benchmark(int32_t on) {
    return gmx::guarded([&] { at::globalContext().setBenchmarkCuDNN(on != 0); });
}

GMX_API int32_t gmx_cuda_devices() {
    try { return at::hasCUDA() ? static_cast<int32_t>(c10::impl::VirtualGuardImpl(at::kCUDA).deviceCount()) : 0; } catch (...) { return 0; }
}

// Autocast to bfloat16 for the operators that gain from it. Leaving it clears the cache of cast weights,
// so that weights changed in place are cast anew by the next pass.
GMX_API int32_t gmx_set_autocast(int32_t on, int32_t cuda) {
    return gmx::guarded([&] {
#if GMX_TORCH_AT_LEAST(2, 4)
        auto device = cuda ? at::kCUDA : at::kCPU;
        if (on) at::autocast::set_autocast_dtype(device, at::kBFloat16);
        at::autocast::set_autocast_enabled(device, on != 0);
#else
        if (cuda) { if (on) at::autocast::set_autocast_gpu_dtype(at::kBFloat16); at::autocast::set_enabled(on != 0); }
        else { if (on) at::autocast::set_autocast_cpu_dtype(at::kBFloat16); at::autocast::set_cpu_enabled(on != 0); }
#endif
        if (!on) at::autocast::clear_cache();
    });
}

GMX_API int32_t gmx_generator_new(const char* device, void** out) {
    return gmx::guarded([&] {
        c10::Device d{std::string(device)};
        *out = new at::Generator(d.is_cpu() ? at::detail::createCPUGenerator() : at::globalContext().defaultGenerator(d).clone());
    });
}
GMX_API int32_t gmx_generator_seed(void* generator, uint64_t seed) {
    return gmx::guarded([&] { auto* g = static_cast<at::Generator*>(generator); std::lock_guard<std::mutex> lock(g->mutex()); g->set_current_seed(seed); });
}
GMX_API void gmx_generator_free(void* generator) { delete static_cast<at::Generator*>(generator); }

// glibc gives large blocks back to the kernel at every free, and pays page faults for them at every step.
// Keeping them costs nothing: a training step allocates the same sizes again and again.
GMX_API int32_t gmx_tune_allocator() {
    int ok = mallopt(M_ARENA_MAX, 1);
    ok &= mallopt(M_MMAP_MAX, 0);
    ok &= mallopt(M_TRIM_THRESHOLD, -1);
    ok &= mallopt(M_TOP_PAD, 64 << 20);
    return ok;
}

// 1 where the processor multiplies bfloat16 in hardware and may, else 0. (Every processor with AMX has AVX512-BF16.)
GMX_API int32_t gmx_cpu_has_bf16() { return gmx::instructions() >= gmx::kAvx512Bf16; }
