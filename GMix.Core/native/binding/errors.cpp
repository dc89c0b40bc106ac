// The error boundary: every exception becomes a status code and one thread-local line of text.
#include "shim.h"
#include <c10/util/Exception.h>
#include <new>

namespace gmx {

std::atomic<int64_t> live_handles{0};

static thread_local std::string last_error;

void set_error(std::string message) { last_error = std::move(message); }

Status status_of_current_exception() {
    try { throw; }
    catch (const c10::IndexError& e) { set_error(e.what_without_backtrace()); return kIndex; }
    catch (const c10::ValueError& e) { set_error(e.what_without_backtrace()); return kValue; }
    catch (const c10::TypeError& e) { set_error(e.what_without_backtrace()); return kType; }
    catch (const c10::NotImplementedError& e) { set_error(e.what_without_backtrace()); return kNotImplemented; }
    catch (const c10::Error& e) {
        set_error(e.what_without_backtrace());
        // libtorch's CPU allocator reports exhaustion as a plain Error
        return last_error.find("allocate memory") != std::string::npos || last_error.find("not enough memory") != std::string::npos || last_error.find("out of memory") != std::string::npos ? kOutOfMemory : kError;
    }
    catch (const NoCuda& e) { set_error(e.what()); return kNoCuda; }
    catch (const std::bad_alloc&) { set_error("out of memory"); return kOutOfMemory; }
    catch (const std::exception& e) { set_error(e.what()); return kError; }
    catch (...) { set_error("an unknown native exception"); return kError; }
}

} // namespace gmx

GMX_API const char* gmx_last_error() { return gmx::last_error.c_str(); }
GMX_API int64_t gmx_live_handles() { return gmx::live_handles.load(std::memory_order_relaxed); }
