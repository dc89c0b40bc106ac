// gmix::conv3x3: a 3x3 convolution of stride 1 and padding 1, by Winograd's algorithm where the layer is large enough to gain: in bfloat16
// (winograd.h) where the processor multiplies it in hardware, in float32 (winograd_float.h) where it has AVX2; by libtorch's own otherwise. Under
// autocast the weights come in float32: they are rounded once, after their transform, and their gradient goes back in float32 without having been
// rounded.
// Every sum has an order that depends on sizes alone, so the number of threads does not change the result.
#include "shim.h"
#include "instructions.h"
#include "winograd_float.h"
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>
#include <cpuid.h>
#include <algorithm>
#include <array>

namespace {

namespace winograd = gmx::winograd;
using at::Tensor;
using torch::autograd::variable_list;

// Where Winograd's algorithm is used: nowhere, where it pays, wherever it works, where it pays in float32.
enum Mode : int32_t { kOff, kWherePays, kEverywhere, kInFloat };

// Until something else is said: where it pays, but not in bfloat16 with AMX, where libtorch's convolutions multiply eight times as fast as with
// AVX512-BF16.
int32_t first_mode() {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & (1u << 22)) ? kInFloat : kWherePays;
}

// Of the calling thread, which runs both the forward and the backward pass on the processor.
int32_t& mode() {
    static const int32_t first = first_mode();
    static thread_local int32_t value = first;
    return value;
}

bool has_bf16() {
#ifdef GMIX_AVX512_BF16
    return gmx::instructions() >= gmx::kAvx512Bf16;
#else
    return false;
#endif
}

// The kernels with the widest registers that the numbers of channels fill; null where there are none, or none that gain.
const winograd::FloatKernels* float_kernels(int64_t inputs, int64_t outputs) {
    const auto fits = [=](const winograd::FloatKernels& k) { return inputs % k.lanes == 0 && outputs % k.lanes == 0; };
#if defined(__x86_64__)
    if (gmx::instructions() >= gmx::kAvx512 && fits(winograd::FloatTables::avx512)) return &winograd::FloatTables::avx512;
    if (gmx::instructions() >= gmx::kAvx2 && fits(winograd::FloatTables::avx2)) return &winograd::FloatTables::avx2;
#endif
    return mode() == kEverywhere && fits(winograd::FloatTables::generic) ? &winograd::FloatTables::generic : nullptr;
}

// The three products of a layer: its result, the gradient of its input (a convolution of the result's gradient) and of its weights.
struct Choice { bool result, input, weights; };

winograd::Map map_of(const Tensor& x) { return {x.size(0), x.size(2), x.size(3), x.size(1)}; }

// Measured against oneDNN 2.6 on two Zen 4 cores. Few tiles do not repay the transform of the weights. In bfloat16 fewer than 32 input channels
// leave a register half empty, and the gradient of the weights works on blocks of 64 channels.
Choice choose(const Tensor& x, const Tensor& w) {
    const int32_t now = mode();
    const auto type = x.scalar_type();
    if (now == kOff || !x.is_cpu() || !w.is_cpu() || x.dim() != 4 || w.dim() != 4 || x.numel() == 0 || w.numel() == 0) return {};
    if (w.size(2) != 3 || w.size(3) != 3 || w.size(1) != x.size(1) || !x.is_contiguous(at::MemoryFormat::ChannelsLast)) return {};
    const int64_t inputs = w.size(1), outputs = w.size(0);
    const bool all = now == kEverywhere, enough = map_of(x).tiles() >= 128;
    if (type == at::kFloat && w.scalar_type() == at::kFloat) {
        const bool pays = float_kernels(inputs, outputs) && (all || (enough && inputs >= 16 && outputs >= 16));
        return {pays, pays, pays};
    }
    if (type != at::kBFloat16 || (w.scalar_type() != at::kFloat && w.scalar_type() != at::kBFloat16) || now == kInFloat || !has_bf16()) return {};
    if (all) return {true, true, true};
    return {enough && inputs >= 32 && outputs >= 16, enough && outputs >= 32 && inputs >= 16, enough && inputs >= 64 && outputs >= 64};
}

Tensor bytes(int64_t n) { return at::empty({n}, at::TensorOptions().dtype(at::kByte)); }
template <class T> T* pointer(const Tensor& t) { return static_cast<T*>(t.data_ptr()); }

// The kernels under one name for both types: what an image consists of, and a transformed tile, or pair of tiles in bfloat16, 4 bytes a channel.
struct InFloat {
    using Image = float;
    using Transformed = float;
    const winograd::FloatKernels& kernels;
    int64_t channels(int64_t count) const { return count; }
    int64_t across(const winograd::Map& map) const { return map.tiles_across(); }
    int64_t packed_bytes(int64_t outputs, int64_t inputs) const { return 4 * winograd::kPoints * outputs * inputs; }
    int64_t outputs_together() const { return kernels.lanes; }
    int64_t scratch_bytes(int64_t inputs) const { return 4 * kernels.convolve_scratch(inputs); }
    template <class... A> void pack_weights(A... a) const { kernels.pack_weights(a...); }
    template <class... A> void convolve(A... a) const { kernels.convolve(a...); }
    template <class... A> void transform_input(A... a) const { kernels.transform_input(a...); }
    template <class... A> void transform_gradient(A... a) const { kernels.transform_gradient(a...); }
    template <class... A> void sum(A... a) const { kernels.sum_tiles(a...); }
    template <class... A> void unpack_sums(A... a) const { kernels.unpack_sums(a...); }
};

#ifdef GMIX_AVX512_BF16
struct InBFloat16 {
    using Image = uint16_t;
    using Transformed = uint32_t;
    int64_t channels(int64_t count) const { return winograd::padded(count, winograd::kGroup); }
    int64_t across(const winograd::Map& map) const { return winograd::pairs_across(map); }
    int64_t packed_bytes(int64_t outputs, int64_t inputs) const { return 2 * winograd::packed_size(outputs, inputs); }
    int64_t outputs_together() const { return 16; }
    int64_t scratch_bytes(int64_t inputs) const { return winograd::convolve_scratch(inputs); }
    void pack_weights(const winograd::Weights& weights, int64_t begin, int64_t end, Image* packed) const { winograd::pack_weights(weights, begin, end, packed); }
    void convolve(const Image* x, const winograd::Map& map, const Image* packed, int64_t outputs, int64_t begin, int64_t end, Image* scratch, Image* y) const {
        winograd::convolve(x, map, packed, outputs, begin, end, reinterpret_cast<char*>(scratch), y);
    }
    template <class... A> void transform_input(A... a) const { winograd::transform_input_pairs(a...); }
    template <class... A> void transform_gradient(A... a) const { winograd::transform_gradient_pairs(a...); }
    template <class... A> void sum(A... a) const { winograd::sum_pairs(a...); }
    template <class... A> void unpack_sums(A... a) const { winograd::unpack_sums(a...); }
};
#endif

// Calls body with the kernels of the layer's type. Only for layers that were chosen.
template <class Body>
Tensor with_kernels(const Tensor& x, const Tensor& w, const Body& body) {
#ifdef GMIX_AVX512_BF16
    if (x.scalar_type() == at::kBFloat16) return body(InBFloat16());
#endif
    const auto* kernels = float_kernels(w.size(1), w.size(0));
    TORCH_INTERNAL_ASSERT(kernels && x.scalar_type() == at::kFloat);
    return body(InFloat{*kernels});
}

// The convolution of x with w, or (transposed) of the result's gradient with w turned around: the gradient of the input.
template <class Kernels>
Tensor convolve_with(const Kernels& kernels, const Tensor& x, const Tensor& w, bool transposed) {
    using Image = typename Kernels::Image;
    const Tensor weights = w.to(at::kFloat);
    const int to = transposed ? 1 : 0, from = 1 - to;
    const int64_t outputs = w.size(to), inputs = w.size(from);
    const bool plain = weights.stride(2) == 3 * weights.stride(3);
    const Tensor kept = plain ? weights : weights.contiguous();
    const winograd::Weights taps{pointer<const float>(kept), outputs, inputs, kept.stride(to), kept.stride(from), kept.stride(3), transposed};
    const Tensor packed = bytes(kernels.packed_bytes(outputs, inputs));
    const int64_t together = kernels.outputs_together();
    at::parallel_for(0, (outputs + together - 1) / together, 1, [&](int64_t begin, int64_t end) { kernels.pack_weights(taps, begin, end, pointer<Image>(packed)); });

    const Tensor from_image = x.contiguous(at::MemoryFormat::ChannelsLast);
    Tensor y = at::empty({x.size(0), outputs, x.size(2), x.size(3)}, x.options(), at::MemoryFormat::ChannelsLast);
    const winograd::Map map = map_of(x);
    const int64_t threads = at::get_num_threads(), share = (map.tiles() + threads - 1) / threads, size = kernels.scratch_bytes(inputs);
    const Tensor scratch = bytes(threads * size);
    at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            kernels.convolve(pointer<const Image>(from_image), map, pointer<const Image>(packed), outputs, std::min(i * share, map.tiles()), std::min((i + 1) * share, map.tiles()),
                reinterpret_cast<Image*>(pointer<char>(scratch) + i * size), pointer<Image>(y));
    });
    return y;
}

Tensor convolve(const Tensor& x, const Tensor& w, bool transposed) {
    return with_kernels(x, w, [&](const auto& kernels) { return convolve_with(kernels, x, w, transposed); });
}

// The gradient of the weights: parts of the tiles are transformed, then summed, each part small enough to stay in the last-level cache.
template <class Kernels>
Tensor weights_gradient_with(const Kernels& kernels, const Tensor& x, const Tensor& g, const Tensor& w) {
    using Image = typename Kernels::Image;
    using Transformed = typename Kernels::Transformed;
    constexpr int64_t kPartBytes = 8 << 20;
    const Tensor image = x.contiguous(at::MemoryFormat::ChannelsLast), gradient = g.contiguous(at::MemoryFormat::ChannelsLast);
    const int64_t outputs = w.size(0), inputs = w.size(1), rows = kernels.channels(outputs), columns = kernels.channels(inputs);
    const winograd::Map image_map = map_of(x), gradient_map = map_of(g);
    const int64_t across = kernels.across(image_map), tile_rows = image_map.tile_rows(), row_bytes = 4 * winograd::kPoints * across * (rows + columns);
    const int64_t parts = (tile_rows * row_bytes + kPartBytes - 1) / kPartBytes, part = std::max<int64_t>(1, (tile_rows + parts - 1) / parts);
    const Tensor sums = bytes(4 * winograd::kPoints * rows * columns), d = bytes(4 * winograd::kPoints * across * part * columns), e = bytes(4 * winograd::kPoints * across * part * rows);
    for (int64_t first = 0; first < tile_rows; first += part) {
        const int64_t here = std::min(part, tile_rows - first);
        at::parallel_for(0, here, 1, [&](int64_t begin, int64_t end) {
            kernels.transform_input(pointer<const Image>(image), image_map, first + begin, first + end, first, here, pointer<Transformed>(d));
            kernels.transform_gradient(pointer<const Image>(gradient), gradient_map, first + begin, first + end, first, here, pointer<Transformed>(e));
        });
        at::parallel_for(0, winograd::sum_units(outputs, inputs), 1, [&](int64_t begin, int64_t end) {
            kernels.sum(pointer<const Transformed>(e), pointer<const Transformed>(d), here * across, outputs, inputs, begin, end, first == 0, pointer<float>(sums));
        });
    }
    Tensor out = at::empty_like(w, w.options().dtype(at::kFloat));
    if (out.stride(2) != 3 * out.stride(3)) out = at::empty(w.sizes(), out.options());
    at::parallel_for(0, outputs, 1, [&](int64_t begin, int64_t end) {
        kernels.unpack_sums(pointer<const float>(sums), outputs, inputs, begin, end, pointer<float>(out), out.stride(0), out.stride(1), out.stride(3));
    });
    return out;
}

Tensor weights_gradient(const Tensor& x, const Tensor& g, const Tensor& w) {
    return with_kernels(x, w, [&](const auto& kernels) { return weights_gradient_with(kernels, x, g, w); });
}

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
        const Choice choice = g.scalar_type() == x.scalar_type() ? choose(x, w) : Choice{};
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

// Sets where Winograd's algorithm is used (Mode) by the calling thread and returns where it was; any other value only asks.
GMX_API int32_t gmx_winograd(int32_t wanted) {
    const int32_t before = mode();
    if (wanted >= kOff && wanted <= kInFloat) mode() = wanted;
    return before;
}
// 1 where there are kernels for bfloat16 and the processor can run them.
GMX_API int32_t gmx_winograd_has_bf16() { return has_bf16(); }
