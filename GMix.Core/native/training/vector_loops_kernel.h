// The loops of vector_loops.h; each file that includes this names its instruction set first. No other header may be included there: an inline function
// compiled for wide instructions could end up in code that runs everywhere.
#include "vector_loops.h"

#pragma GCC optimize("fp-contract=off")

namespace {

typedef double Eight __attribute__((vector_size(64)));
typedef double EightInMemory __attribute__((vector_size(64), aligned(8), may_alias));
typedef float EightFloats __attribute__((vector_size(32), aligned(4), may_alias));

inline Eight widened(const float* p) { return __builtin_convertvector(*reinterpret_cast<const EightFloats*>(p), Eight); }
inline Eight widened(const double* p) { return *reinterpret_cast<const EightInMemory*>(p); }
inline double folded(Eight s) { return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7])); }

template <class T>
struct Loops {
    // N whole chunks at once: each sum waits for its last addition only
    template <int N>
    static inline void whole_chunks(const T* x, const T* y, double* sums) {
        Eight s[N] = {};
        for (int64_t i = 0; i < gmx::kChunk; i += 8)
            for (int c = 0; c < N; ++c) s[c] += widened(x + c * gmx::kChunk + i) * widened(y + c * gmx::kChunk + i);
        for (int c = 0; c < N; ++c) sums[c] = folded(s[c]);
    }

    static double part(const T* x, const T* y, int64_t n) {
        Eight s{};
        int64_t i = 0;
        for (; i + 8 <= n; i += 8) s += widened(x + i) * widened(y + i);
        for (; i < n; ++i) s[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
        return folded(s);
    }

    static void products(const T* x, const T* y, int64_t n, double* sums) {
        int64_t i = 0;
        for (; i + 4 * gmx::kChunk <= n; i += 4 * gmx::kChunk, sums += 4) whole_chunks<4>(x + i, y + i, sums);
        for (; i < n; i += gmx::kChunk) *sums++ = part(x + i, y + i, n - i < gmx::kChunk ? n - i : gmx::kChunk);
    }

    static void squares(const T* p, const T* m, int64_t n, double* sums) {
        for (int64_t begin = 0; begin < n; begin += gmx::kChunk, sums += 3) {
            const int64_t end = n - begin < gmx::kChunk ? n : begin + gmx::kChunk;
            Eight pp{}, mp{}, mm{};
            int64_t i = begin;
            for (; i + 8 <= end; i += 8) {
                const Eight a = widened(p + i), b = widened(m + i);
                pp += a * a;
                mp += b * a;
                mm += b * b;
            }
            for (; i < end; ++i) {
                const double a = p[i], b = m[i];
                pp[0] += a * a;
                mp[0] += b * a;
                mm[0] += b * b;
            }
            sums[0] = folded(pp);
            sums[1] = folded(mp);
            sums[2] = folded(mm);
        }
    }

    // The loops take numbers by value and say that vectors do not overlap: else each element would wait for the one before.

    static void moved(T* __restrict out, const T* __restrict x, const T* __restrict y, T factor, int64_t n) {
        for (int64_t i = 0; i < n; ++i) out[i] = x[i] + factor * y[i];
    }

    static void added(T* __restrict x, const T* __restrict y, T factor, int64_t n) {
        for (int64_t i = 0; i < n; ++i) x[i] = y[i] + factor * x[i];
    }

    static void plain_step(T* __restrict w, const T* __restrict d, T rate, T decay, int64_t n) {
        for (int64_t i = 0; i < n; ++i) w[i] -= rate * (d[i] + decay * w[i]);
    }

    static void momentum_step(T* __restrict w, T* __restrict v, const T* __restrict d, T rate, T momentum, T decay, int64_t n) {
        for (int64_t i = 0; i < n; ++i) {
            const T next = momentum * v[i] + (d[i] + decay * w[i]);
            v[i] = next;
            w[i] -= rate * next;
        }
    }

    static void nesterov_step(T* __restrict w, T* __restrict v, const T* __restrict d, T rate, T momentum, T decay, int64_t n) {
        for (int64_t i = 0; i < n; ++i) {
            const T g = d[i] + decay * w[i], next = momentum * v[i] + g;
            v[i] = next;
            w[i] -= rate * (g + momentum * next);
        }
    }

    static void mixed(T* __restrict out, const T* __restrict x, const T* __restrict y, T weight, T rest, int64_t n) {
        for (int64_t i = 0; i < n; ++i) out[i] = x[i] * weight + y[i] * rest;
    }

    static constexpr gmx::VectorLoops<T> table() { return {products, squares, moved, added, plain_step, momentum_step, nesterov_step, mixed}; }
};

} // namespace
