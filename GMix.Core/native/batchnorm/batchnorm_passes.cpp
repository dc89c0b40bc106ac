// See batchnorm_passes.h.
#include "batchnorm_passes.h"
#include "instructions.h"
#include <ATen/Parallel.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace gmx {
namespace {

template <class E>
const BatchNormKernels<E>& kernels() {
#if defined(__x86_64__)
    switch (instructions()) {
        case kAvx512Bf16: return BatchNormTables<E>::avx512bf16;
        case kAvx512: return BatchNormTables<E>::avx512;
        case kAvx2: return BatchNormTables<E>::avx2;
        default: break;
    }
#endif
    return BatchNormTables<E>::generic;
}

// Rows in chunks that depend on the shape alone: whoever works on a chunk, its sums and their order are the same for any number of threads.
struct Chunks {
    static constexpr int64_t kMost = 64, kLeast = 1 << 17; // chunks; elements in one of them
    int64_t rows, channels, length, step, count;
    explicit Chunks(const at::Tensor& x) : rows(x.numel() / x.size(1)), channels(x.size(1)), length(padded(channels)) {
        const int64_t blocks = (rows + kRowsPerFloatSum - 1) / kRowsPerFloatSum, parts = std::clamp<int64_t>(rows * channels / kLeast, 1, kMost);
        step = (blocks + parts - 1) / parts * kRowsPerFloatSum;
        count = (rows + step - 1) / step;
    }
    // body(chunk, first element, rows), in parallel where there is enough to do. A second pass goes backwards: what the first one
    // read last is still in the cache.
    template <class Body>
    void each(bool backwards, const Body& body) const {
        at::parallel_for(0, count, 1, [&](int64_t from, int64_t to) {
            for (int64_t i = from; i < to; ++i) {
                const int64_t k = backwards ? to - 1 - (i - from) : i;
                body(k, k * step * channels, std::min(step, rows - k * step));
            }
        });
    }
};

// Per-channel arrays of doubles for each chunk, and their sum in chunk order.
struct Sums {
    const Chunks& chunks;
    std::vector<double> all;
    explicit Sums(const Chunks& c) : chunks(c), all(c.count * c.length * 2, 0.0) {}
    double* first(int64_t chunk) { return all.data() + chunk * chunks.length * 2; }
    double* second(int64_t chunk) { return first(chunk) + chunks.length; }
    void total() {
        for (int64_t k = 1; k < chunks.count; ++k)
            for (int64_t i = 0; i < 2 * chunks.length; ++i) all[i] += first(k)[i];
    }
};

std::vector<float>& scratch(int64_t length) {
    static thread_local std::vector<float> memory;
    if (static_cast<int64_t>(memory.size()) < 2 * length) memory.resize(2 * length);
    return memory;
}

template <class E> struct Storage;
template <> struct Storage<float> { static float* of(const at::Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; } };
template <> struct Storage<Bf16> { static Bf16* of(const at::Tensor& t) { return t.defined() ? reinterpret_cast<Bf16*>(t.data_ptr<at::BFloat16>()) : nullptr; } };

template <class E> E* shifted(E* p, int64_t by) { return p ? p + by : nullptr; }

// Calls body with a value of the element type that the kernels work in.
template <class Body>
void by_type(const at::Tensor& x, const Body& body) {
    if (x.scalar_type() == at::kFloat) body(float{});
    else body(Bf16{});
}

at::Tensor per_channel(int64_t length) { return at::zeros({length}, at::TensorOptions().dtype(at::kFloat)); }

// A value near each channel's mean, from rows spread over the batch: sums of squares about it lose nothing to cancellation.
template <class E>
void near_mean(const E* x, const E* other, const Chunks& chunks, float* shift) {
    const int64_t samples = std::min<int64_t>(8, chunks.rows);
    auto value = [](const E* p) { if constexpr (std::is_same_v<E, float>) return *p; else { at::BFloat16 v; v.x = *p; return static_cast<float>(v); } };
    for (int64_t s = 0; s < samples; ++s) {
        const int64_t at = s * (chunks.rows / samples) * chunks.channels;
        for (int64_t c = 0; c < chunks.channels; ++c) shift[c] += (value(x + at + c) + (other ? value(other + at + c) : 0.f)) / static_cast<float>(samples);
    }
}

} // namespace

Prepared::Prepared(const BatchMoments& moments, const at::Tensor& weight, const at::Tensor& shift)
    : mean(moments.mean), scale(per_channel(moments.mean.numel())), bias(per_channel(moments.mean.numel())) {
    const int64_t channels = weight.numel();
    const float *w = weight.data_ptr<float>(), *b = shift.data_ptr<float>(), *invstd = moments.invstd.data_ptr<float>();
    for (int64_t c = 0; c < channels; ++c) {
        scale.data_ptr<float>()[c] = w[c] * invstd[c];
        bias.data_ptr<float>()[c] = b[c];
    }
}


bool batch_norm_takes(const at::Tensor& x) {
    return x.device().is_cpu() && x.dim() == 4 && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) && x.numel() > 0 && x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

BatchMoments moments_of_sums(const double* s1, const double* s2, const float* shift, int64_t channels, int64_t rows, at::TensorList running, double momentum, double eps) {
    BatchMoments result{per_channel(padded(channels)), per_channel(padded(channels))};
    auto *mean = result.mean.data_ptr<float>(), *invstd = result.invstd.data_ptr<float>();
    auto *moving_mean = running.empty() ? nullptr : running[0].data_ptr<float>(), *moving_variance = running.empty() ? nullptr : running[1].data_ptr<float>();
    const double n = static_cast<double>(rows);
    for (int64_t c = 0; c < channels; ++c) {
        const double from_shift = s1[c] / n, m = shift[c] + from_shift;
        double squares = s2[c] - n * from_shift * from_shift;
        if (squares < 0) squares = 0; // NaN stays
        mean[c] = static_cast<float>(m);
        invstd[c] = static_cast<float>(1 / std::sqrt(squares / n + eps));
        if (moving_mean) {
            moving_mean[c] = static_cast<float>(momentum * m + (1 - momentum) * moving_mean[c]);
            moving_variance[c] = static_cast<float>(momentum * (squares / (n - 1)) + (1 - momentum) * moving_variance[c]);
        }
    }
    return result;
}

BatchMoments batch_moments(const at::Tensor& x, const at::Tensor& other, at::Tensor& sum, at::TensorList running, double momentum, double eps) {
    const Chunks chunks(x);
    if (other.defined()) sum = at::empty_like(x);
    Sums sums(chunks);
    auto shift = per_channel(chunks.length);
    auto* k = shift.data_ptr<float>();
    by_type(x, [&](auto type) {
        using E = decltype(type);
        auto *px = Storage<E>::of(x), *po = Storage<E>::of(other), *ps = other.defined() ? Storage<E>::of(sum) : nullptr;
        near_mean<E>(px, po, chunks, k);
        const auto& run = kernels<E>();
        chunks.each(false, [&](int64_t chunk, int64_t at, int64_t rows) {
            run.moments(px + at, shifted(po, at), shifted(ps, at), rows, chunks.channels, k, sums.first(chunk), sums.second(chunk), scratch(chunks.length).data());
        });
    });
    sums.total();
    return moments_of_sums(sums.first(0), sums.second(0), k, chunks.channels, chunks.rows, running, momentum, eps);
}

BatchMoments running_moments(at::TensorList running, double eps) {
    const int64_t channels = running[0].numel(), length = padded(channels);
    BatchMoments result{per_channel(length), per_channel(length)};
    for (int64_t c = 0; c < channels; ++c) {
        result.mean.data_ptr<float>()[c] = running[0].data_ptr<float>()[c];
        result.invstd.data_ptr<float>()[c] = static_cast<float>(1 / std::sqrt(running[1].data_ptr<float>()[c] + eps));
    }
    return result;
}

at::Tensor batch_norm_apply(const at::Tensor& x, const at::Tensor& residual, const BatchMoments& moments, const at::Tensor& weight, const at::Tensor& bias, bool relu) {
    const Chunks chunks(x);
    const Prepared prepared(moments, weight, bias);
    auto y = at::empty_like(x);
    by_type(x, [&](auto type) {
        using E = decltype(type);
        auto *px = Storage<E>::of(x), *pr = Storage<E>::of(residual), *py = Storage<E>::of(y);
        const auto& run = kernels<E>();
        chunks.each(true, [&](int64_t, int64_t at, int64_t rows) { run.apply(px + at, shifted(pr, at), py + at, rows, chunks.channels, prepared.affine(), relu); });
    });
    return y;
}

GradTerms terms_of_sums(const double* s1, const double* s2, int64_t rows, const BatchMoments& moments, const at::Tensor& weight) {
    const int64_t channels = weight.numel(), length = padded(channels);
    GradTerms terms{at::empty_like(weight), at::empty_like(weight), per_channel(length), per_channel(length), per_channel(length)};
    auto *dw = terms.weight.data_ptr<float>(), *db = terms.bias.data_ptr<float>(), *a = terms.a.data_ptr<float>(), *b = terms.b.data_ptr<float>(), *d = terms.d.data_ptr<float>();
    const auto *w = weight.data_ptr<float>(), *invstd = moments.invstd.data_ptr<float>();
    const double n = static_cast<double>(rows);
    for (int64_t c = 0; c < channels; ++c) {
        const double scale = static_cast<double>(w[c]) * invstd[c];
        db[c] = static_cast<float>(s1[c]);
        dw[c] = static_cast<float>(s2[c] * invstd[c]);
        a[c] = static_cast<float>(scale);
        b[c] = static_cast<float>(-scale * s2[c] * invstd[c] * invstd[c] / n);
        d[c] = static_cast<float>(-scale * s1[c] / n);
    }
    return terms;
}

GradTerms batch_norm_relu_grad_terms(const at::Tensor& x, const at::Tensor& g, const BatchMoments& moments, const at::Tensor& weight, const at::Tensor& bias) {
    const Chunks chunks(x);
    const Prepared prepared(moments, weight, bias);
    Sums sums(chunks);
    by_type(x, [&](auto type) {
        using E = decltype(type);
        auto *px = Storage<E>::of(x), *pg = Storage<E>::of(g);
        const auto& run = kernels<E>();
        chunks.each(false, [&](int64_t chunk, int64_t at, int64_t rows) {
            run.grad_sums(px + at, pg + at, nullptr, nullptr, nullptr, rows, chunks.channels, prepared.affine(), true, sums.first(chunk), sums.second(chunk), scratch(chunks.length).data());
        });
    });
    sums.total();
    return terms_of_sums(sums.first(0), sums.second(0), chunks.rows, moments, weight);
}

void batch_norm_grad_input(const at::Tensor& x, at::Tensor& g, const GradTerms& terms, const BatchMoments& moments) {
    const Chunks chunks(x);
    const Affine affine{moments.mean.data_ptr<float>(), moments.mean.data_ptr<float>(), moments.mean.data_ptr<float>()}; // scale and bias decide ReLU's mask, which g has
    by_type(x, [&](auto type) {
        using E = decltype(type);
        auto *px = Storage<E>::of(x), *pg = Storage<E>::of(g);
        const auto& run = kernels<E>();
        chunks.each(true, [&](int64_t, int64_t at, int64_t rows) { run.grad_input(px + at, pg + at, nullptr, pg + at, rows, chunks.channels, affine, terms.affine(), false); });
    });
}

BatchNormGradients batch_norm_gradients(const at::Tensor& x, at::Tensor g1, const at::Tensor& g2, const at::Tensor& more, const at::Tensor& y, bool residual,
                                        const BatchMoments& moments, const at::Tensor& weight, const at::Tensor& bias, bool relu) {
    const Chunks chunks(x);
    const Prepared prepared(moments, weight, bias);
    Sums sums(chunks);
    // the masked sum of the gradients is kept where the second pass, or the residual, needs more than masking g1 again
    const bool own = g1.use_count() == 1 && g1.storage().use_count() == 1;
    const bool keep = g2.defined() || (relu && residual);
    auto g = !keep ? g1 : own ? g1 : at::empty_like(x);
    auto dx = !residual && own ? g : at::empty_like(x);
    BatchNormGradients result{dx, residual ? g : at::Tensor(), at::Tensor(), at::Tensor()};
    by_type(x, [&](auto type) {
        using E = decltype(type);
        auto *px = Storage<E>::of(x), *p1 = Storage<E>::of(g1), *p2 = Storage<E>::of(g2), *py = Storage<E>::of(y), *pm = Storage<E>::of(more);
        auto *pg = Storage<E>::of(g), *pd = Storage<E>::of(dx);
        const auto& run = kernels<E>();
        chunks.each(false, [&](int64_t chunk, int64_t at, int64_t rows) {
            run.grad_sums(px + at, p1 + at, shifted(p2, at), shifted(py, at), keep ? pg + at : nullptr, rows, chunks.channels, prepared.affine(), relu, sums.first(chunk), sums.second(chunk), scratch(chunks.length).data());
        });
        sums.total();
        const GradTerms terms = terms_of_sums(sums.first(0), sums.second(0), chunks.rows, moments, weight);
        result.weight = terms.weight;
        result.bias = terms.bias;
        chunks.each(true, [&](int64_t, int64_t at, int64_t rows) {
            run.grad_input(px + at, pg + at, shifted(pm, at), pd + at, rows, chunks.channels, prepared.affine(), terms.affine(), relu && !keep);
        });
    });
    return result;
}

} // namespace gmx
