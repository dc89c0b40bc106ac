// Where a training step's time goes: every operator that libtorch runs, on whichever thread, and the spans that the caller names around them.
#include "shim.h"
#include <ATen/record_function.h>
#include <chrono>
#include <cstring>
#include <mutex>
#include <vector>

namespace {

enum Kind : int32_t { kOperator = 0, kSpan = 1 };

struct Event {
    std::string name;
    uint64_t thread;
    int64_t start, duration, self, bytes; // nanoseconds; self is without what ran inside
    int32_t kind;
};

std::mutex guard;
std::vector<Event> events;
int64_t origin = 0;
bool running = false;
at::CallbackHandle callback = 0;

int64_t now() { return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Open { std::string name; int64_t start, inside; };
// time that the events inside each open event of this thread have taken
thread_local std::vector<Open> open;

void begin(const char* name) { open.push_back({name, now(), 0}); }

void end(uint64_t thread, int64_t bytes, Kind kind) {
    const auto stop = now();
    // opened before profiling began
    if (open.empty()) return;
    auto last = std::move(open.back());
    open.pop_back();
    const auto duration = stop - last.start;
    if (!open.empty()) open.back().inside += duration;
    std::lock_guard<std::mutex> lock(guard);
    if (running) events.push_back({std::move(last.name), thread, last.start - origin, duration, duration - last.inside, bytes, kind});
}

struct Context : at::ObserverContext {};

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction& function) {
    begin(function.name());
    return std::make_unique<Context>();
}

void on_end(const at::RecordFunction& function, at::ObserverContext*) {
    int64_t bytes = 0;
    for (const auto& value : function.outputs())
        if (value.isTensor() && value.toTensor().defined() && value.toTensor().has_storage()) bytes += value.toTensor().numel() * value.toTensor().element_size();
    end(at::RecordFunction::currentThreadId(), bytes, kOperator);
}

} // namespace

GMX_API int32_t gmx_profile_start() {
    return gmx::guarded([&] {
        {
            std::lock_guard<std::mutex> lock(guard);
            TORCH_CHECK(!running, "a profile is being taken already");
            events.clear();
            running = true;
            origin = now();
        }
        callback = at::addGlobalCallback(at::RecordFunctionCallback(on_start, on_end).needsOutputs(true));
    });
}

GMX_API void gmx_profile_begin(const char* name) { begin(name); }
GMX_API void gmx_profile_end() { end(at::RecordFunction::currentThreadId(), 0, kSpan); }

// Ends profiling. Events are then read as lines of name, kind, thread, start, duration, self, bytes between tabs.
GMX_API int32_t gmx_profile_stop() {
    return gmx::guarded([&] {
        at::removeCallback(callback);
        open.clear();
        std::lock_guard<std::mutex> lock(guard);
        running = false;
    });
}

// Bytes of all lines; written to `out` where they fit into `capacity`.
GMX_API int64_t gmx_profile_read(char* out, int64_t capacity) {
    std::lock_guard<std::mutex> lock(guard);
    std::string text;
    for (const auto& e : events) {
        text += e.name;
        for (int64_t v : {static_cast<int64_t>(e.kind), static_cast<int64_t>(e.thread), e.start, e.duration, e.self, e.bytes}) text += '\t' + std::to_string(v);
        text += '\n';
    }
    if (static_cast<int64_t>(text.size()) <= capacity) std::memcpy(out, text.data(), text.size());
    return static_cast<int64_t>(text.size());
}
