// One function calls any operator: find its schema once, then run the boxed kernel with tagged arguments.
// Autograd and autocast work through it, because both are dispatch keys.
#include "shim.h"
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <memory>
#include <vector>

namespace {

// Mirrors GMix.Torch.ArgKind.
enum Tag : int32_t { kNone, kTensor, kTensorList, kOptionalTensorList, kInt, kDouble, kBool, kIntList, kDoubleList, kBoolList, kString, kDevice, kGenerator };

struct Arg {
    int32_t tag;
    int32_t length;
    union { int64_t i; double d; const void* p; } v;
};

struct Operator {
    c10::OperatorHandle handle;
    explicit Operator(c10::OperatorHandle h) : handle(std::move(h)) {}
};

c10::IValue to_ivalue(const Arg& a) {
    switch (a.tag) {
        case kNone: return c10::IValue();
        case kTensor: return gmx::borrow(static_cast<gmx::Handle>(const_cast<void*>(a.v.p)));
        case kTensorList: {
            c10::List<at::Tensor> list;
            list.reserve(a.length);
            auto* p = static_cast<const gmx::Handle*>(a.v.p);
            for (int32_t i = 0; i < a.length; ++i) list.push_back(gmx::borrow(p[i]));
            return list;
        }
        case kOptionalTensorList: {
            // built without naming the optional type, which is c10's in 1.13 and the standard library's in 2.x
            c10::impl::GenericList list(c10::OptionalType::create(c10::TensorType::get()));
            list.reserve(a.length);
            auto* p = static_cast<const gmx::Handle*>(a.v.p);
            for (int32_t i = 0; i < a.length; ++i) list.push_back(p[i] ? c10::IValue(gmx::borrow(p[i])) : c10::IValue());
            return list;
        }
        case kInt: return a.v.i;
        case kDouble: return a.v.d;
        case kBool: return a.v.i != 0;
        case kIntList: { auto* p = static_cast<const int64_t*>(a.v.p); return c10::IValue(at::ArrayRef<int64_t>(p, a.length)); }
        case kDoubleList: { auto* p = static_cast<const double*>(a.v.p); return c10::IValue(std::vector<double>(p, p + a.length)); }
        case kBoolList: { auto* p = static_cast<const int64_t*>(a.v.p); c10::List<bool> list; for (int32_t i = 0; i < a.length; ++i) list.push_back(p[i] != 0); return list; }
        case kString: return std::string(static_cast<const char*>(a.v.p), a.length);
        case kDevice: return c10::Device(std::string(static_cast<const char*>(a.v.p), a.length));
        case kGenerator: return *static_cast<const at::Generator*>(a.v.p);
    }
    TORCH_CHECK(false, "unknown argument tag ", a.tag);
}

} // namespace

GMX_API int32_t gmx_operator_find(const char* name, const char* overload, void** out) {
    return gmx::guarded([&] {
        auto found = c10::Dispatcher::singleton().findSchema({name, overload});
        if (!found) TORCH_CHECK_NOT_IMPLEMENTED(false, "libtorch has no operator ", name, ".", overload);
        *out = new Operator(*found); // operators live as long as the process
    });
}

// Calls the operator. Trailing arguments that are not given take the schema's defaults.
// Results are written to `out` (capacity `capacity`); a list of tensors is flattened; undefined tensors are null. `count` returns how many.
GMX_API int32_t gmx_operator_call(void* op, const Arg* args, int32_t length, gmx::Handle* out, int32_t capacity, int32_t* count) {
    return gmx::guarded([&] {
        auto& handle = static_cast<Operator*>(op)->handle;
        const auto& formal = handle.schema().arguments();
        torch::jit::Stack stack;
        stack.reserve(formal.size());
        for (int32_t i = 0; i < length; ++i) stack.push_back(to_ivalue(args[i]));
        for (size_t i = length; i < formal.size(); ++i) {
            const auto& fallback = formal[i].default_value();
            TORCH_CHECK(fallback.has_value(), "argument '", formal[i].name(), "' has no default and was not given");
            stack.push_back(*fallback);
        }
        handle.callBoxed(&stack);
        int32_t n = 0;
        auto put = [&](at::Tensor t) { TORCH_CHECK(n < capacity, "more results than the caller has room for"); out[n++] = gmx::release(std::move(t)); };
        for (auto& value : stack) {
            if (value.isTensor()) put(std::move(value).toTensor());
            else if (value.isTensorList()) for (const auto& t : value.toTensorVector()) put(t);
        }
        *count = n;
    });
}
