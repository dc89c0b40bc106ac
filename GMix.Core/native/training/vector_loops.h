// The loops of update.cpp over long vectors, once for each kind of processor. All give the same bits: products are rounded before they are added,
// and sums have an order of their own.
#pragma once
#include <cstdint>

namespace gmx {

// Sums are taken chunk by chunk, so that they do not depend on the number of threads.
constexpr int64_t kChunk = 8192;

template <class T>
struct VectorLoops {
    // sums[c] = <x, y> over the elements of chunk c, in float64
    void (*products)(const T* x, const T* y, int64_t n, double* sums);
    // sums[3 c] and the next two = <p, p>, <m, p>, <m, m> likewise
    void (*squares)(const T* p, const T* m, int64_t n, double* sums);
    // out = x + factor y
    void (*moved)(T* out, const T* x, const T* y, T factor, int64_t n);
    // x = y + factor x
    void (*added)(T* x, const T* y, T factor, int64_t n);
    // the three forms of gradient descent with d' = d + decay w: w -= rate d'; v = momentum v + d', w -= rate v; the same with w -= rate (d' + momentum v)
    void (*plain_step)(T* w, const T* d, T rate, T decay, int64_t n);
    void (*momentum_step)(T* w, T* v, const T* d, T rate, T momentum, T decay, int64_t n);
    void (*nesterov_step)(T* w, T* v, const T* d, T rate, T momentum, T decay, int64_t n);
    // out = x weight + y rest
    void (*mixed)(T* out, const T* x, const T* y, T weight, T rest, int64_t n);
};

extern const VectorLoops<float> float_loops_generic, float_loops_avx2, float_loops_avx512;
extern const VectorLoops<double> double_loops_generic, double_loops_avx2, double_loops_avx512;

// The widest that gmx::instructions allows.
template <class T> const VectorLoops<T>& vector_loops();
template <> const VectorLoops<float>& vector_loops<float>();
template <> const VectorLoops<double>& vector_loops<double>();

} // namespace gmx
