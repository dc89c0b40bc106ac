// Algebra on the flat weight vector in one pass over memory each, and Mixup: in host memory by loops with the arithmetic of the operators they stand
// for (a product is rounded before the sum), elsewhere by these operators.
#include "vector_loops.h"
#include "shim.h"
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/library.h>
#include <cmath>
#include <initializer_list>
#include <vector>

namespace {

using at::Tensor;
using gmx::kChunk;
using gmx::vector_loops;

constexpr int64_t kGrain = 4; // chunks worth a thread

// Whether the loops can run: alike vectors in host memory whose values no graph follows.
bool alike(std::initializer_list<const Tensor*> vectors) {
    const auto& first = **vectors.begin();
    for (const auto* t : vectors) {
        TORCH_CHECK(t->numel() == first.numel() && t->scalar_type() == first.scalar_type(), "vectors of ", first.numel(), " and ", t->numel(), " elements, or of different types");
        if (!t->device().is_cpu() || !t->is_contiguous() || !(t->scalar_type() == at::kFloat || t->scalar_type() == at::kDouble) || (t->requires_grad() && at::GradMode::is_enabled())) return false;
    }
    return true;
}

// body(c, begin, end): a stretch of elements that starts with chunk c
template <class Body>
void chunks(int64_t n, Body&& body) {
    at::parallel_for(0, (n + kChunk - 1) / kChunk, kGrain, [&](int64_t begin, int64_t end) { body(begin, begin * kChunk, std::min(n, end * kChunk)); });
}

template <class T>
double inner_product_of(const Tensor& x, const Tensor& y) {
    std::vector<double> parts((x.numel() + kChunk - 1) / kChunk);
    const T *xp = x.data_ptr<T>(), *yp = y.data_ptr<T>();
    const auto& loops = vector_loops<T>();
    chunks(x.numel(), [&](int64_t c, int64_t begin, int64_t end) { loops.products(xp + begin, yp + begin, end - begin, parts.data() + c); });
    double sum = 0;
    for (double p : parts) sum += p;
    return sum;
}

double inner_product(const Tensor& x, const Tensor& y) {
    return AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "inner_product", [&] { return inner_product_of<scalar_t>(x, y); });
}

Tensor scalar_of(double value) { return at::full({}, value, at::kDouble); }

// |x|, accumulated in float64
Tensor norm_of(const Tensor& x) {
    if (!alike({&x})) return at::linalg_vector_norm(x, 2, {}, false, at::kDouble);
    return scalar_of(std::sqrt(inner_product(x, x)));
}

// <x, y>, accumulated in float64
Tensor dot_of(const Tensor& x, const Tensor& y) {
    if (!alike({&x, &y})) return at::sum(x.to(at::kDouble) * y, at::kDouble);
    return scalar_of(inner_product(x, y));
}

// out = x + factor · y, the factor rounded to the vectors' type first
void move_(const Tensor& out, const Tensor& x, const Tensor& y, const Tensor& factor) {
    if (!alike({&out, &x, &y})) {
        auto target = out;
        at::add_out(target, x, y * factor.to(y.scalar_type()));
        return;
    }
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "move_", [&] {
        const auto f = static_cast<scalar_t>(factor.item<double>());
        const scalar_t *xp = x.data_ptr<scalar_t>(), *yp = y.data_ptr<scalar_t>();
        scalar_t* op = out.data_ptr<scalar_t>();
        const auto& loops = vector_loops<scalar_t>();
        chunks(x.numel(), [&](int64_t, int64_t begin, int64_t end) { loops.moved(op + begin, xp + begin, yp + begin, f, end - begin); });
    });
}

// One step of gradient descent: d' = d + decay · w; v ← momentum · v + d'; w ← w − rate · v, or with Nesterov w − rate (d' + momentum · v).
void sgd_(const Tensor& w, const Tensor& v, const Tensor& d, double rate, double momentum, double decay, bool nesterov) {
    if (!alike({&w, &v, &d})) {
        auto g = decay == 0 ? d : at::add(d, w, decay);
        if (momentum == 0) { w.add_(g, -rate); return; }
        v.mul_(momentum).add_(g);
        w.add_(nesterov ? at::add(g, v, momentum) : v, -rate);
        return;
    }
    AT_DISPATCH_FLOATING_TYPES(w.scalar_type(), "sgd_", [&] {
        const auto eta = static_cast<scalar_t>(rate), mu = static_cast<scalar_t>(momentum), lambda = static_cast<scalar_t>(decay);
        const scalar_t* dp = d.data_ptr<scalar_t>();
        scalar_t *wp = w.data_ptr<scalar_t>(), *vp = v.data_ptr<scalar_t>();
        const auto& loops = vector_loops<scalar_t>();
        chunks(w.numel(), [&](int64_t, int64_t begin, int64_t end) {
            const int64_t length = end - begin;
            if (mu == 0) loops.plain_step(wp + begin, dp + begin, eta, lambda, length);
            else if (nesterov) loops.nesterov_step(wp + begin, vp + begin, dp + begin, eta, mu, lambda, length);
            else loops.momentum_step(wp + begin, vp + begin, dp + begin, eta, mu, lambda, length);
        });
    });
    w.unsafeGetTensorImpl()->bump_version();
    v.unsafeGetTensorImpl()->bump_version();
}

// The same with the rate a scalar tensor where the vectors are: on a GPU nobody waits for it, and a recorded step can be replayed with another.
void sgd_rate_(const Tensor& w, const Tensor& v, const Tensor& d, const Tensor& rate, double momentum, double decay, bool nesterov) {
    if (alike({&w, &v, &d}) && rate.device().is_cpu()) return sgd_(w, v, d, rate.item<double>(), momentum, decay, nesterov);
    auto eta = rate.to(w.scalar_type());
    auto g = decay == 0 ? d : at::add(d, w, decay);
    if (momentum == 0) { w.addcmul_(g, eta, -1); return; }
    v.mul_(momentum).add_(g);
    w.addcmul_(nesterov ? at::add(g, v, momentum) : v, eta, -1);
}

// DG-Mix's direction: with c = <m, p> / |p|² (0 where |p|² < tiny) and o = m − c p, the vector p + kappa o, and beside it c, |o|, |m|.
std::tuple<Tensor, Tensor, Tensor, Tensor> decompose(const Tensor& plus, const Tensor& minus, double kappa, double tiny) {
    if (!alike({&plus, &minus})) {
        auto square = dot_of(plus, plus);
        auto none = square.lt(tiny);
        auto c = (dot_of(minus, plus) / square.masked_fill(none, 1)).masked_fill(none, 0);
        auto orthogonal = minus - plus * c.to(plus.scalar_type());
        return {at::add(plus, orthogonal, kappa), c, norm_of(orthogonal), norm_of(minus)};
    }
    auto out = at::empty_like(plus);
    const int64_t n = plus.numel(), count = (n + kChunk - 1) / kChunk;
    std::vector<double> squares(3 * count);
    double c = 0, along = 0, orthogonal = 0, whole = 0;
    AT_DISPATCH_FLOATING_TYPES(plus.scalar_type(), "decompose", [&] {
        const scalar_t *p = plus.data_ptr<scalar_t>(), *m = minus.data_ptr<scalar_t>();
        scalar_t* o = out.data_ptr<scalar_t>();
        const auto& loops = vector_loops<scalar_t>();
        chunks(n, [&](int64_t k, int64_t begin, int64_t end) { loops.squares(p + begin, m + begin, end - begin, squares.data() + 3 * k); });
        double square = 0;
        for (int64_t k = 0; k < count; ++k) { square += squares[3 * k]; along += squares[3 * k + 1]; whole += squares[3 * k + 2]; }
        c = square < tiny ? 0 : along / square;
        const auto factor = static_cast<scalar_t>(c), weight = static_cast<scalar_t>(kappa);
        chunks(n, [&](int64_t k, int64_t begin, int64_t end) {
            // a few chunks at a time, which stay in the second-level cache between the three loops
            for (; begin < end; begin += 4 * kChunk, k += 4) {
                const int64_t length = std::min(4 * kChunk, end - begin);
                loops.moved(o + begin, m + begin, p + begin, -factor, length);
                loops.products(o + begin, o + begin, length, squares.data() + k);
                loops.added(o + begin, p + begin, weight, length);
            }
        });
        for (int64_t k = 0; k < count; ++k) orthogonal += squares[k];
    });
    return {out, scalar_of(c), scalar_of(std::sqrt(orthogonal)), scalar_of(std::sqrt(whole))};
}

// Mixup in one pass: x_i w_i + x_π(i) (1 − w_i), in the images' own layout.
Tensor mix_rows(const Tensor& x, const Tensor& partner, const Tensor& weight) {
    const int64_t n = x.size(0), row = n == 0 ? 0 : x.numel() / n;
    TORCH_CHECK(partner.scalar_type() == at::kLong && partner.is_contiguous() && partner.numel() == n && weight.is_contiguous() && weight.numel() == n && weight.scalar_type() == x.scalar_type(), "mix_rows: needs one partner and one weight an image");
    const bool dense = x.is_contiguous() || (x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast));
    if (!dense || !alike({&x}) || !weight.device().is_cpu() || !partner.device().is_cpu() || (weight.requires_grad() && at::GradMode::is_enabled())) {
        std::vector<int64_t> shape(x.dim(), 1);
        shape[0] = n;
        auto w = weight.view(shape);
        return x * w + x.index_select(0, partner) * (1 - w);
    }
    auto out = at::empty_like(x);
    const int64_t* p = partner.data_ptr<int64_t>();
    for (int64_t i = 0; i < n; ++i) TORCH_CHECK_INDEX(p[i] >= 0 && p[i] < n, "partner ", p[i], " of image ", i, " is not among ", n, " images");
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "mix_rows", [&] {
        const scalar_t *xp = x.data_ptr<scalar_t>(), *wp = weight.data_ptr<scalar_t>();
        scalar_t* op = out.data_ptr<scalar_t>();
        const auto& loops = vector_loops<scalar_t>();
        at::parallel_for(0, n, std::max<int64_t>(1, 4 * kChunk / std::max<int64_t>(1, row)), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                const scalar_t *a = xp + i * row, *b = xp + p[i] * row, w = wp[i], rest = 1 - w;
                loops.mixed(op + i * row, a, b, w, rest, row);
            }
        });
    });
    return out;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(gmix, m) {
    m.def("norm(Tensor x) -> Tensor", norm_of);
    m.def("dot(Tensor x, Tensor y) -> Tensor", dot_of);
    m.def("move_(Tensor(a!) out, Tensor x, Tensor y, Tensor factor) -> ()", move_);
    m.def("sgd_(Tensor(a!) w, Tensor(b!) v, Tensor d, float rate, float momentum, float decay, bool nesterov) -> ()", sgd_);
    m.def("sgd_.rate(Tensor(a!) w, Tensor(b!) v, Tensor d, Tensor rate, float momentum, float decay, bool nesterov) -> ()", sgd_rate_);
    m.def("decompose(Tensor plus, Tensor minus, float kappa, float tiny) -> (Tensor, Tensor, Tensor, Tensor)", decompose);
    m.def("mix_rows(Tensor x, Tensor partner, Tensor weight) -> Tensor", mix_rows);
}

// Exchanges the memory behind a tensor, and so behind all views of it, with another's of the same size: a displacement of the weights and its
// return cost nothing, and the return is exact.
GMX_API int32_t gmx_swap_memory(gmx::Handle a, gmx::Handle b) {
    return gmx::guarded([&] {
        auto first = gmx::borrow(a).storage(), second = gmx::borrow(b).storage();
        TORCH_CHECK(first.nbytes() == second.nbytes() && first.device() == second.device(), "only memory of one size on one device can be exchanged");
        auto taken = first.set_data_ptr(at::DataPtr());
        first.set_data_ptr(second.set_data_ptr(std::move(taken)));
        // a graph made with the weights as they were must not go back through these
        a->bump_version();
        b->bump_version();
    });
}
