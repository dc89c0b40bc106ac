// What only a GPU has: a stream of its own, graphs of whole steps, events, memory figures. Where the shim was built without CUDA's headers every
// function that needs them fails with kNoCuda, and the managed side refuses the device; nothing here is called for a tensor in host memory.
#include "shim.h"
#include <ATen/Context.h>
#include <torch/version.h>
#ifdef GMIX_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#endif
#include <cstring>
#include <memory>

#define GMX_TORCH_AT_LEAST(major, minor) (TORCH_VERSION_MAJOR > (major) || (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

namespace {

[[noreturn, maybe_unused]] void no_cuda() { throw gmx::NoCuda(); }

#ifdef GMIX_CUDA

// The device's number, with libtorch's side of it set up, since what is asked of the allocator or a stream before the first tensor is an error
// otherwise; and the calling thread's current device, on which events are made and graphs recorded.
c10::DeviceIndex index_of(int32_t device) {
#if GMX_TORCH_AT_LEAST(2, 6)
    at::globalContext().lazyInitDevice(at::kCUDA);
#else
    at::globalContext().lazyInitCUDA();
#endif
    const auto index = static_cast<c10::DeviceIndex>(device);
    c10::cuda::set_device(index);
    return index;
}

// A graph is captured on a stream of its own: CUDA captures no default stream, and what runs elsewhere must not get in.
struct Graph {
    at::cuda::CUDAGraph graph;
    bool capturing = false;
};

// The streams of a thread that is away from its own; work waits for what was begun on the other one, both ways.
struct Away {
    c10::cuda::CUDAStream from, to;
};

struct Event {
    cudaEvent_t event = nullptr;
    Event() { C10_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDefault)); }
    explicit Event(unsigned flags) { C10_CUDA_CHECK(cudaEventCreateWithFlags(&event, flags)); }
    Event(const Event&) = delete;
    ~Event() { if (event) cudaEventDestroy(event); }
};

void wait_for(const c10::cuda::CUDAStream& waiting, const c10::cuda::CUDAStream& awaited) {
    Event reached(cudaEventDisableTiming);
    C10_CUDA_CHECK(cudaEventRecord(reached.event, awaited.stream()));
    C10_CUDA_CHECK(cudaStreamWaitEvent(waiting.stream(), reached.event, 0));
}

#endif

int32_t put_text(const char* text, char* out, int32_t capacity) {
    if (capacity > 0) { std::strncpy(out, text, capacity - 1); out[capacity - 1] = 0; }
    return static_cast<int32_t>(std::strlen(text));
}

} // namespace

// 1 where the shim was built for CUDA (no GPU may be there), 0 where libtorch has none, -1 where libtorch has it but CUDA's headers were missing.
GMX_API int32_t gmx_cuda_built() {
#if defined(GMIX_CUDA)
    return 1;
#elif defined(GMIX_CUDA_WITHOUT_HEADERS)
    return -1;
#else
    return 0;
#endif
}

// The GPU's name and compute capability; empty where there is none.
GMX_API int32_t gmx_cuda_name(int32_t device, char* out, int32_t capacity) {
#ifdef GMIX_CUDA
    try {
        cudaDeviceProp properties;
        C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
        return put_text((std::string(properties.name) + " (sm_" + std::to_string(properties.major) + std::to_string(properties.minor) + ")").c_str(), out, capacity);
    } catch (...) { return put_text("", out, capacity); }
#else
    return put_text("", out, capacity);
#endif
}

GMX_API int32_t gmx_cuda_synchronize(int32_t device) {
    return gmx::guarded([&] {
#ifdef GMIX_CUDA
        c10::cuda::CUDAGuard guard(index_of(device));
        c10::cuda::device_synchronize();
#else
        no_cuda();
#endif
    });
}

// Bytes: allocated now and at most, reserved now and at most (libtorch's allocator), free and in all (the device).
GMX_API int32_t gmx_cuda_memory(int32_t device, int64_t* out) {
    return gmx::guarded([&] {
#ifdef GMIX_CUDA
        c10::cuda::CUDAGuard guard(index_of(device));
        const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(index_of(device));
        size_t free = 0, total = 0;
        C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
        // entry 0 is the sum over small and large blocks; the type that numbers them moved between versions
        out[0] = stats.allocated_bytes[0].current;
        out[1] = stats.allocated_bytes[0].peak;
        out[2] = stats.reserved_bytes[0].current;
        out[3] = stats.reserved_bytes[0].peak;
        out[4] = static_cast<int64_t>(free);
        out[5] = static_cast<int64_t>(total);
#else
        no_cuda();
#endif
    });
}

GMX_API int32_t gmx_cuda_reset_peak(int32_t device) {
    return gmx::guarded([&] {
#ifdef GMIX_CUDA
        c10::cuda::CUDACachingAllocator::resetPeakStats(index_of(device));
#else
        no_cuda();
#endif
    });
}

// Goes to a side stream of the device; what it does there comes after all that was begun here.
GMX_API int32_t gmx_cuda_away(int32_t device, void** out) {
    return gmx::guarded([&] {
#ifdef GMIX_CUDA
        auto from = c10::cuda::getCurrentCUDAStream(index_of(device));
        // one stream a thread and device: its memory is used again by the next step that goes there
        thread_local std::unique_ptr<c10::cuda::CUDAStream> side;
        if (!side || side->device_index() != index_of(device)) side = std::make_unique<c10::cuda::CUDAStream>(c10::cuda::getStreamFromPool(false, index_of(device)));
        wait_for(*side, from);
        c10::cuda::setCurrentCUDAStream(*side);
        *out = new Away{from, *side};
#else
        no_cuda();
#endif
    });
}

// Comes back from it; what follows here comes after all that was begun there.
GMX_API int32_t gmx_cuda_back(void* away) {
    return gmx::guarded([&] {
#ifdef GMIX_CUDA
        std::unique_ptr<Away> streams(static_cast<Away*>(away));
        c10::cuda::setCurrentCUDAStream(streams->from);
        wait_for(streams->from, streams->to);
#else
        no_cuda();
#endif
    });
}

GMX_API int32_t gmx_cuda_graph_new(void** out) {
    return gmx::guarded([&] {
#ifdef GMIX_CUDA
        *out = new Graph();
#else
        no_cuda();
#endif
    });
}

// Starts recording what this thread's current stream is given. `sharing`, another graph or null, lends its memory: graphs of one loop run in turn.
GMX_API int32_t gmx_cuda_graph_begin(void* graph, void* sharing) {
    return gmx::guarded([&] {
#ifdef GMIX_CUDA
        auto* g = static_cast<Graph*>(graph);
        // what earlier steps left in the allocator's cache is of no use to a graph, which has memory of its own
        c10::cuda::device_synchronize();
        c10::cuda::CUDACachingAllocator::emptyCache();
        const auto pool = sharing ? static_cast<Graph*>(sharing)->graph.pool() : decltype(g->graph.pool()){0, 0};
        // calls of other threads, such as a prefetching one that takes pinned memory, are none of the capture's business
#if GMX_TORCH_AT_LEAST(2, 1)
        g->graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
#else
        g->graph.capture_begin(pool);
#endif
        g->capturing = true;
#else
        no_cuda();
#endif
    });
}

// Ends recording. With `keep` 0 the recording is thrown away, whatever state it is in.
GMX_API int32_t gmx_cuda_graph_end(void* graph, int32_t keep) {
    return gmx::guarded([&] {
#ifdef GMIX_CUDA
        auto* g = static_cast<Graph*>(graph);
        if (!g->capturing) return;
        g->capturing = false;
        if (keep) { g->graph.capture_end(); return; }
        try { g->graph.capture_end(); } catch (...) { }
        try { g->graph.reset(); } catch (...) { }
        // an operator that may not be captured leaves its error behind
        (void)cudaGetLastError();
#else
        no_cuda();
#endif
    });
}

GMX_API int32_t gmx_cuda_graph_replay(void* graph) {
    return gmx::guarded([&] {
#ifdef GMIX_CUDA
        static_cast<Graph*>(graph)->graph.replay();
#else
        no_cuda();
#endif
    });
}

GMX_API void gmx_cuda_graph_free(void* graph) {
#ifdef GMIX_CUDA
    delete static_cast<Graph*>(graph);
#endif
}

// An event that marks a time on the device's current stream.
GMX_API int32_t gmx_cuda_event_new(int32_t device, void** out) {
    return gmx::guarded([&] {
#ifdef GMIX_CUDA
        index_of(device);
        *out = new Event();
#else
        no_cuda();
#endif
    });
}

GMX_API int32_t gmx_cuda_event_record(void* event, int32_t device) {
    return gmx::guarded([&] {
#ifdef GMIX_CUDA
        C10_CUDA_CHECK(cudaEventRecord(static_cast<Event*>(event)->event, c10::cuda::getCurrentCUDAStream(index_of(device)).stream()));
#else
        no_cuda();
#endif
    });
}

// Seconds of the device between two events; waits for the second.
GMX_API int32_t gmx_cuda_event_seconds(void* from, void* to, double* out) {
    return gmx::guarded([&] {
#ifdef GMIX_CUDA
        float milliseconds = 0;
        C10_CUDA_CHECK(cudaEventSynchronize(static_cast<Event*>(to)->event));
        C10_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, static_cast<Event*>(from)->event, static_cast<Event*>(to)->event));
        *out = milliseconds / 1000.0;
#else
        no_cuda();
#endif
    });
}

GMX_API void gmx_cuda_event_free(void* event) {
#ifdef GMIX_CUDA
    delete static_cast<Event*>(event);
#endif
}
