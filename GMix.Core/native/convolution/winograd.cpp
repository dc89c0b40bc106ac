// gmix::conv3x3: a 3x3 convolution of stride 1 and padding 1, by Winograd's algorithm (winograd.h) where the processor multiplies bfloat16 in
// hardware and the layer is large enough to gain, by libtorch's own otherwise. Under autocast the weights come in float32: they are rounded once,
// after their transform, and their gradient goes back in float32 without having been rounded.
// Every sum has an order that depends on sizes alone, so the number of threads does not change the result.
#include "shim.h"
#include "winograd.h"
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>
#include <cpuid.h>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

namespace {

namespace winograd = gmx::winograd;
using at::Tensor;
using torch::autograd::variable_list;

// Where Winograd's algorithm is used: nowhere, where it pays, wherever it works.
enum Mode : int32_t { kOff, kWherePays, kEverywhere };

// GMIX_WINOGRAD in the environment: 0 nowhere, 1 where it pays. Not given: nowhere with AMX, where libtorch's convolutions multiply eight times as
// fast as with AVX512-BF16.
int32_t first_mode() {
    if (const char* text = std::getenv("GMIX_WINOGRAD")) return std::strcmp(text, "0") == 0 ? kOff : kWherePays;
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & (1u << 22)) ? kOff : kWherePays;
}

// Of the calling thread, which runs both the forward and the backward pass on the processor.
int32_t& mode() {
    static const int32_t first = first_mode();
    static thread_local int32_t value = first;
    return value;
}

bool processor_has_it() {
#ifdef GMIX_AVX512_BF16
    static const bool has = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    return has;
#else
    return false;
#endif
}

// The three products of a layer: its result, the gradient of its input (a convolution of the result's gradient) and of its weights.
struct Choice { bool result, input, weights; };

winograd::Map map_of(const Tensor& x) { return {x.size(0), x.size(2), x.size(3), x.size(1)}; }

// Measured against oneDNN 2.6's bfloat16 on two Zen 4 cores. Fewer than 32 input channels leave a register half empty; few tiles do not repay the
// transform of the weights; the gradient of the weights works on blocks of 64 channels.
Choice choose(const Tensor& x, const Tensor& w) {
    const int32_t now = mode();
    if (now == kOff || !processor_has_it()) return {};
    if (!x.is_cpu() || !w.is_cpu() || x.dim() != 4 || w.dim() != 4 || x.scalar_type() != at::kBFloat16 || x.numel() == 0 || w.numel() == 0) return {};
    if (w.scalar_type() != at::kFloat && w.scalar_type() != at::kBFloat16) return {};
    if (w.size(2) != 3 || w.size(3) != 3 || w.size(1) != x.size(1) || !x.is_contiguous(at::MemoryFormat::ChannelsLast)) return {};
    if (now == kEverywhere) return {true, true, true};
    const int64_t inputs = w.size(1), outputs = w.size(0);
    if (map_of(x).tiles() < 128) return {};
    return {inputs >= 32 && outputs >= 16, outputs >= 32 && inputs >= 16, inputs >= 64 && outputs >= 64};
}

#ifdef GMIX_AVX512_BF16
Tensor bytes(int64_t n) { return at::empty({n}, at::TensorOptions().dtype(at::kByte)); }
template <class T> T* pointer(const Tensor& t) { return static_cast<T*>(t.data_ptr()); }

// The convolution of x with w, or (transposed) of the result's gradient with w turned around: the gradient of the input.
Tensor convolve(const Tensor& x, const Tensor& w, bool transposed) {
    const Tensor weights = w.to(at::kFloat);
    const int to = transposed ? 1 : 0, from = 1 - to;
    const int64_t outputs = w.size(to), inputs = w.size(from);
    const bool plain = weights.stride(2) == 3 * weights.stride(3);
    const Tensor kept = plain ? weights : weights.contiguous();
    const winograd::Weights taps{pointer<const float>(kept), outputs, inputs, kept.stride(to), kept.stride(from), kept.stride(3), transposed};
    const Tensor packed = bytes(2 * winograd::packed_size(outputs, inputs));
    at::parallel_for(0, (outputs + 15) / 16, 1, [&](int64_t begin, int64_t end) { winograd::pack_weights(taps, begin, end, pointer<uint16_t>(packed)); });

    const Tensor from_image = x.contiguous(at::MemoryFormat::ChannelsLast);
    Tensor y = at::empty({x.size(0), outputs, x.size(2), x.size(3)}, x.options(), at::MemoryFormat::ChannelsLast);
    const winograd::Map map = map_of(x);
    const int64_t threads = at::get_num_threads(), share = (map.tiles() + threads - 1) / threads, size = winograd::convolve_scratch(inputs);
    const Tensor scratch = bytes(threads * size);
    at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            winograd::convolve(pointer<const uint16_t>(from_image), map, pointer<const uint16_t>(packed), outputs, std::min(i * share, map.tiles()), std::min((i + 1) * share, map.tiles()),
                pointer<char>(scratch) + i * size, pointer<uint16_t>(y));
    });
    return y;
}

// The gradient of the weights: parts of the tiles are transformed, then summed, each part small enough to stay in the last-level cache.
Tensor weights_gradient(const Tensor& x, const Tensor& g, const Tensor& w) {
    constexpr int64_t kPartBytes = 8 << 20;
    const Tensor image = x.contiguous(at::MemoryFormat::ChannelsLast), gradient = g.contiguous(at::MemoryFormat::ChannelsLast);
    const int64_t outputs = w.size(0), inputs = w.size(1), rows = winograd::padded(outputs, winograd::kGroup), columns = winograd::padded(inputs, winograd::kGroup);
    const winograd::Map image_map = map_of(x), gradient_map = map_of(g);
    const int64_t across = winograd::pairs_across(image_map), tile_rows = image_map.tile_rows(), row_bytes = 4 * winograd::kPoints * across * (rows + columns);
    const int64_t parts = (tile_rows * row_bytes + kPartBytes - 1) / kPartBytes, part = std::max<int64_t>(1, (tile_rows + parts - 1) / parts);
    const Tensor sums = bytes(4 * winograd::kPoints * rows * columns), d = bytes(4 * winograd::kPoints * across * part * columns), e = bytes(4 * winograd::kPoints * across * part * rows);
    for (int64_t first = 0; first < tile_rows; first += part) {
        const int64_t here = std::min(part, tile_rows - first);
        at::parallel_for(0, here, 1, [&](int64_t begin, int64_t end) {
            winograd::transform_input_pairs(pointer<const uint16_t>(image), image_map, first + begin, first + end, first, here, pointer<uint32_t>(d));
            winograd::transform_gradient_pairs(pointer<const uint16_t>(gradient), gradient_map, first + begin, first + end, first, here, pointer<uint32_t>(e));
        });
        at::parallel_for(0, winograd::sum_units(outputs, inputs), 1, [&](int64_t begin, int64_t end) {
            winograd::sum_pairs(pointer<const uint32_t>(e), pointer<const uint32_t>(d), here * across, outputs, inputs, begin, end, first == 0, pointer<float>(sums));
        });
    }
    Tensor out = at::empty_like(w, w.options().dtype(at::kFloat));
    if (out.stride(2) != 3 * out.stride(3)) out = at::empty(w.sizes(), out.options());
    at::parallel_for(0, outputs, 1, [&](int64_t begin, int64_t end) {
        winograd::unpack_sums(pointer<const float>(sums), outputs, inputs, begin, end, pointer<float>(out), out.stride(0), out.stride(1), out.stride(3));
    });
    return out;
}
#else
Tensor convolve(const Tensor&, const Tensor&, bool) { TORCH_INTERNAL_ASSERT(false); }
Tensor weights_gradient(const Tensor&, const Tensor&, const Tensor&) { TORCH_INTERNAL_ASSERT(false); }
#endif

// libtorch's gradients, in the type of the result's gradient; differentiable again where gradients are being recorded.
std::array<Tensor, 2> composite(const Tensor& g, const Tensor& x, const Tensor& w, bool input, bool weights) {
    auto all = at::convolution_backward(g, x, w.to(g.scalar_type()), {}, {1, 1}, {1, 1}, {1, 1}, false, {0, 0}, 1, {input, weights, false});
    return {std::get<0>(all), weights ? std::get<1>(all).to(w.scalar_type()) : Tensor()};
}

struct Conv3x3 : torch::autograd::Function<Conv3x3> {
    static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& x, const Tensor& w) {
        ctx->save_for_backward({x, w});
        return choose(x, w).result ? convolve(x, w, false) : at::conv2d(x, w.to(x.scalar_type()), {}, 1, 1);
    }

    static variable_list backward(torch::autograd::AutogradContext* ctx, variable_list gradients) {
        const auto saved = ctx->get_saved_variables();
        const Tensor &g = gradients[0], &x = saved[0], &w = saved[1];
        const bool input = ctx->needs_input_grad(0), weights = ctx->needs_input_grad(1);
        if (!g.defined()) return {Tensor(), Tensor()};
        if (at::GradMode::is_enabled()) { // second derivatives are asked for
            auto both = composite(g, x, w, input, weights);
            return {both[0], both[1]};
        }
        const Choice choice = g.scalar_type() == at::kBFloat16 ? choose(x, w) : Choice{};
        auto out = composite(g, x, w, input && !choice.input, weights && !choice.weights);
        if (input && choice.input) out[0] = convolve(g, w, true);
        if (weights && choice.weights) out[1] = weights_gradient(x, g, w).to(w.scalar_type());
        return {out[0], out[1]};
    }
};

Tensor conv3x3(const Tensor& x, const Tensor& w) {
    const Choice choice = choose(x, w);
    if (choice.result || choice.input || choice.weights) return Conv3x3::apply(x, w);
    return at::conv2d(x, w, {}, 1, 1);
}

// Autocast rounds the input, as for libtorch's convolutions, but leaves the weights as they are.
Tensor conv3x3_autocast(const Tensor& x, const Tensor& w) {
    const Tensor rounded = x.scalar_type() == at::kFloat ? x.to(at::kBFloat16) : x;
    const Choice choice = choose(rounded, w);
    if (!choice.result && !choice.input && !choice.weights) return at::conv2d(x, w, {}, 1, 1);
    c10::impl::ExcludeDispatchKeyGuard outside(c10::DispatchKey::AutocastCPU);
    return Conv3x3::apply(rounded, w);
}

} // namespace

TORCH_LIBRARY_FRAGMENT(gmix, m) { m.def("conv3x3(Tensor input, Tensor weight) -> Tensor"); }
TORCH_LIBRARY_IMPL(gmix, CompositeImplicitAutograd, m) { m.impl("conv3x3", conv3x3); }
TORCH_LIBRARY_IMPL(gmix, AutocastCPU, m) { m.impl("conv3x3", conv3x3_autocast); }

// Sets where Winograd's algorithm is used (Mode) by the calling thread and returns where it was; any other value only asks. -1: this processor cannot.
GMX_API int32_t gmx_winograd(int32_t wanted) {
    if (!processor_has_it()) return -1;
    const int32_t before = mode();
    if (wanted >= kOff && wanted <= kEverywhere) mode() = wanted;
    return before;
}
