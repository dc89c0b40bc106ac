// What the two kernel files share: bfloat16 and float32 in 512-bit registers, the input transform of one row of a tile. Only for files
// compiled with AVX512-BF16.
#pragma once
#include <immintrin.h>
#include "winograd.h"

#define GMX_INLINE static inline __attribute__((always_inline))

namespace gmx {
namespace winograd {

alignas(64) static const uint16_t kZeros[kGroup] = {};

// 32 bfloat16 as float32: a bfloat16 is the upper half of a float32.
GMX_INLINE __m512 even(__m512i v) { return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16)); }
GMX_INLINE __m512 odd(__m512i v) { return _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(static_cast<int>(0xffff0000u)))); }
// Rounds to bfloat16 (to nearest, ties to even): `first` in the lower half of the register.
GMX_INLINE __m512i round_pair(__m512 first, __m512 second) { return (__m512i)_mm512_cvtne2ps_pbh(second, first); }
// Rounds, and puts lane i of the two side by side.
GMX_INLINE __m512i zip(__m512 first, __m512 second) {
    alignas(64) static const uint16_t order[32] = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_load_si512(order), round_pair(first, second));
}
GMX_INLINE __m512 add(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
GMX_INLINE __m512 sub(__m512 a, __m512 b) { return _mm512_sub_ps(a, b); }
GMX_INLINE __m512 half(__m512 a) { return _mm512_mul_ps(_mm512_set1_ps(0.5f), a); }

// The channels of a group that exist.
GMX_INLINE __mmask32 group_mask(int64_t channels) { return channels >= kGroup ? 0xffffffffu : (1u << channels) - 1; }
// Where channel q of a transformed group lies in the image's group.
GMX_INLINE int64_t channel_of(int64_t q) { return q < 16 ? 2 * q : 2 * (q - 16) + 1; }

// 32 channels in float32, even ones and odd ones.
struct Channels { __m512 e, o; };
GMX_INLINE Channels operator+(Channels a, Channels b) { return {add(a.e, b.e), add(a.o, b.o)}; }
GMX_INLINE Channels operator-(Channels a, Channels b) { return {sub(a.e, b.e), sub(a.o, b.o)}; }
GMX_INLINE Channels load(const uint16_t* p, __mmask32 mask) { const __m512i v = _mm512_maskz_loadu_epi16(mask, p); return {even(v), odd(v)}; }

// The four image rows under a row of tiles; null where padding is.
struct Rows { const uint16_t* p[4]; };
GMX_INLINE Rows rows_under(const uint16_t* x, const Map& map, int64_t tile_row) {
    const int64_t rows = (map.h + 1) / 2, image = tile_row / rows, top = 2 * (tile_row % rows) - 1;
    Rows r;
    for (int64_t i = 0; i < 4; ++i) r.p[i] = top + i >= 0 && top + i < map.h ? x + (image * map.h + top + i) * map.w * map.c : nullptr;
    return r;
}

// One pixel column of a tile, row Row of Bᵀd, Bᵀ = (1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1): each row of Bᵀ takes two of the four pixels.
template <int Row>
GMX_INLINE Channels column(const Rows& rows, int64_t offset, bool inside, __mmask32 mask) {
    constexpr int kA = Row == 0 ? 0 : Row == 2 ? 2 : 1, kB = Row == 2 ? 1 : Row == 3 ? 3 : 2;
    const Channels a = load(inside && rows.p[kA] ? rows.p[kA] + offset : kZeros, mask), b = load(inside && rows.p[kB] ? rows.p[kB] + offset : kZeros, mask);
    return Row == 1 ? a + b : a - b;
}

} // namespace winograd
} // namespace gmx
