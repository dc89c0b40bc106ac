// A vector of channels in float arithmetic, kept as float or bfloat16, for one instruction set: the file that includes this one first chooses the
// instructions by a pragma, and defines GMX_AVX512 and GMX_BF16 where it may use those (GCC 12 defines no __AVX512F__ after a pragma). Nothing but plain language and intrinsics may come in here: an inline function of a library, compiled for AVX-512,
// could end up being the one that every file uses.
#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#pragma GCC diagnostic ignored "-Wpsabi"
#define GMX_INLINE inline __attribute__((always_inline))

namespace gmx {
namespace {

#if defined(GMX_AVX512)
constexpr int kWide = 16;
#else
constexpr int kWide = 8;
#endif
typedef float F __attribute__((vector_size(kWide * 4)));
typedef uint32_t U __attribute__((vector_size(kWide * 4)));
typedef uint16_t H __attribute__((vector_size(kWide * 2)));

GMX_INLINE F load(const float* p) { F v; __builtin_memcpy(&v, p, sizeof v); return v; }
GMX_INLINE void store(float* p, const F& v) { __builtin_memcpy(p, &v, sizeof v); }

#if defined(GMX_AVX512)
// GCC 12 halves and rejoins the vectors of these conversions; the intrinsics are one instruction each.
GMX_INLINE F widened(const H& h) { return (F)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)h), 16); }
GMX_INLINE H narrowed(const U& u) { return (H)_mm512_cvtepi32_epi16((__m512i)u); }
#else
GMX_INLINE F widened(const H& h) { return (F)(__builtin_convertvector(h, U) << 16); }
GMX_INLINE H narrowed(const U& u) { return __builtin_convertvector(u, H); }
#endif

// The nearest bfloat16, ties to even; NaN stays NaN.
#if defined(GMX_BF16)
GMX_INLINE H rounded(const F& v) { return (H)_mm512_cvtneps_pbh((__m512)v); }
#else
GMX_INLINE H rounded(const F& v) {
    const U u = (U)v, r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, nan = (U)(v != v);
    return narrowed((r & ~nan) | (nan & 0x7fc0u));
}
#endif

GMX_INLINE F load(const uint16_t* p) { H h; __builtin_memcpy(&h, p, sizeof h); return widened(h); }

// Stores v and returns what it is from then on.
GMX_INLINE F kept(float* p, const F& v) { store(p, v); return v; }
GMX_INLINE F kept(uint16_t* p, const F& v) { const H h = rounded(v); __builtin_memcpy(p, &h, sizeof h); return widened(h); }

} // namespace
} // namespace gmx
