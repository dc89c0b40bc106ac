// winograd.h: the gradient of the weights, F(2x2, 3x3) transposed: Gᵀ [Σ over tiles (A dy Aᵀ) ⊙ (Bᵀ d B)] G. Compiled for AVX512-BF16.
// Two tiles side by side are the pair that one multiplication of bfloat16 sums over.
#if defined(__AVX512BF16__)
#include "winograd_lanes.h"

namespace gmx {
namespace winograd {

// Where the pairs of a tile row go: [point][block of 64 channels][pair][channel].
struct Pairs { uint32_t* p; int64_t point, pair; };
GMX_INLINE Pairs pairs_at(uint32_t* out, int64_t channels, int64_t c, int64_t pairs, int64_t from) {
    const int64_t block = c / kBlock * kBlock, width = channels - block < kBlock ? channels - block : kBlock;
    return {out + block * pairs + from * width + (c - block), channels * pairs, width};
}
GMX_INLINE void store(const Pairs& to, int64_t point, int64_t pair, Channels first, Channels second) {
    uint32_t* p = to.p + point * to.point + pair * to.pair;
    _mm512_store_si512(p, zip(first.e, second.e));
    _mm512_store_si512(p + 16, zip(first.o, second.o));
}

template <int Row>
GMX_INLINE void input_row(const Rows& rows, const Map& map, int64_t c, __mmask32 mask, int64_t pairs, const Pairs& to) {
    Channels d0 = column<Row>(rows, 0, false, mask), d1 = column<Row>(rows, c, true, mask);
    for (int64_t i = 0, x = 1; i < pairs; ++i, x += 4) {
        const Channels d2 = column<Row>(rows, x * map.c + c, x < map.w, mask), d3 = column<Row>(rows, (x + 1) * map.c + c, x + 1 < map.w, mask);
        const Channels d4 = column<Row>(rows, (x + 2) * map.c + c, x + 2 < map.w, mask), d5 = column<Row>(rows, (x + 3) * map.c + c, x + 3 < map.w, mask);
        store(to, 4 * Row, i, d0 - d2, d2 - d4);
        store(to, 4 * Row + 1, i, d1 + d2, d3 + d4);
        store(to, 4 * Row + 2, i, d2 - d1, d4 - d3);
        store(to, 4 * Row + 3, i, d1 - d3, d3 - d5);
        d0 = d4; d1 = d5;
    }
}

void transform_input_pairs(const uint16_t* x, const Map& map, int64_t begin, int64_t end, int64_t first, int64_t rows, uint32_t* out) {
    const int64_t channels = padded(map.c, kGroup), pairs = pairs_across(map);
    for (int64_t row = begin; row < end; ++row) {
        const Rows under = rows_under(x, map, row);
        for (int64_t c = 0; c < channels; c += kGroup) {
            const __mmask32 mask = group_mask(map.c - c);
            const Pairs to = pairs_at(out, channels, c, rows * pairs, (row - first) * pairs);
            input_row<0>(under, map, c, mask, pairs, to);
            input_row<1>(under, map, c, mask, pairs, to);
            input_row<2>(under, map, c, mask, pairs, to);
            input_row<3>(under, map, c, mask, pairs, to);
        }
    }
}

// One pixel column of a tile of the output's gradient, row Row of A dy; A = (1 0; 1 1; 1 -1; 0 -1).
template <int Row>
GMX_INLINE Channels gradient_column(const uint16_t* upper, const uint16_t* lower, int64_t offset, bool inside, __mmask32 mask) {
    const Channels a = load(inside && Row != 3 ? upper + offset : kZeros, mask), b = load(inside && lower && Row != 0 ? lower + offset : kZeros, mask);
    return Row == 0 ? a : Row == 1 ? a + b : a - b;
}

template <int Row>
GMX_INLINE void gradient_row(const uint16_t* upper, const uint16_t* lower, const Map& map, int64_t c, __mmask32 mask, int64_t pairs, const Pairs& to) {
    const Channels zero = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (int64_t i = 0, x = 0; i < pairs; ++i, x += 4) {
        Channels g[4];
        for (int64_t j = 0; j < 4; ++j) g[j] = gradient_column<Row>(upper, lower, (x + j) * map.c + c, x + j < map.w, mask);
        store(to, 4 * Row, i, g[0], g[2]);
        store(to, 4 * Row + 1, i, g[0] + g[1], g[2] + g[3]);
        store(to, 4 * Row + 2, i, g[0] - g[1], g[2] - g[3]);
        store(to, 4 * Row + 3, i, zero - g[1], zero - g[3]);
    }
}

void transform_gradient_pairs(const uint16_t* g, const Map& map, int64_t begin, int64_t end, int64_t first, int64_t rows, uint32_t* out) {
    const int64_t channels = padded(map.c, kGroup), pairs = pairs_across(map), down = (map.h + 1) / 2;
    for (int64_t row = begin; row < end; ++row) {
        const int64_t y = 2 * (row % down);
        const uint16_t* upper = g + (row / down * map.h + y) * map.w * map.c;
        const uint16_t* lower = y + 1 < map.h ? upper + map.w * map.c : nullptr;
        for (int64_t c = 0; c < channels; c += kGroup) {
            const __mmask32 mask = group_mask(map.c - c);
            const Pairs to = pairs_at(out, channels, c, rows * pairs, (row - first) * pairs);
            gradient_row<0>(upper, lower, map, c, mask, pairs, to);
            gradient_row<1>(upper, lower, map, c, mask, pairs, to);
            gradient_row<2>(upper, lower, map, c, mask, pairs, to);
            gradient_row<3>(upper, lower, map, c, mask, pairs, to);
        }
    }
}

// out [outputs][inputs] of one point (+)= Σ over pairs gradient [pair][outputs] x input [pair][inputs].
template <int Outputs, int Registers>
static void sum_products(const uint32_t* gradient, int64_t step, const uint32_t* input, int64_t pairs, bool first, float* out, int64_t stride) {
    __m512 sum[Outputs][Registers];
#pragma GCC unroll 8
    for (int k = 0; k < Outputs; ++k)
#pragma GCC unroll 8
        for (int j = 0; j < Registers; ++j) sum[k][j] = first ? _mm512_setzero_ps() : _mm512_load_ps(out + k * stride + 16 * j);
    for (int64_t pair = 0; pair < pairs; ++pair, input += 16 * Registers, gradient += step) {
        __m512i d[Registers];
#pragma GCC unroll 8
        for (int j = 0; j < Registers; ++j) d[j] = _mm512_load_si512(input + 16 * j);
#pragma GCC unroll 8
        for (int k = 0; k < Outputs; ++k) {
            const __m512i g = _mm512_set1_epi32(static_cast<int>(gradient[k]));
#pragma GCC unroll 8
            for (int j = 0; j < Registers; ++j) sum[k][j] = _mm512_dpbf16_ps(sum[k][j], (__m512bh)g, (__m512bh)d[j]);
        }
    }
#pragma GCC unroll 8
    for (int k = 0; k < Outputs; ++k)
#pragma GCC unroll 8
        for (int j = 0; j < Registers; ++j) _mm512_store_ps(out + k * stride + 16 * j, sum[k][j]);
}

// Channels come in groups of 32, so 2 or 4 registers; 64 or 32 outputs leave 4 or 2 after sixes.
using SumProducts = void (*)(const uint32_t*, int64_t, const uint32_t*, int64_t, bool, float*, int64_t);
#define GMX_BY_REGISTERS(outputs) {sum_products<outputs, 2>, sum_products<outputs, 4>}
static const SumProducts kSumProducts[3][2] = {GMX_BY_REGISTERS(2), GMX_BY_REGISTERS(4), GMX_BY_REGISTERS(6)};

void sum_pairs(const uint32_t* gradient, const uint32_t* input, int64_t pairs, int64_t outputs, int64_t inputs, int64_t begin, int64_t end, bool first, float* sums) {
    const int64_t rows = padded(outputs, kGroup), columns = padded(inputs, kGroup), row_blocks = (rows + kBlock - 1) / kBlock, column_blocks = (columns + kBlock - 1) / kBlock;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t column = unit % column_blocks * kBlock, row = unit / column_blocks % row_blocks * kBlock, p = unit / column_blocks / row_blocks;
        const int64_t width = columns - column < kBlock ? columns - column : kBlock, height = rows - row < kBlock ? rows - row : kBlock;
        const uint32_t* g = gradient + (p * rows + row) * pairs;
        const uint32_t* d = input + (p * columns + column) * pairs;
        for (int64_t k = 0; k < height; k += 6)
            kSumProducts[height - k < 6 ? (height - k) / 2 - 1 : 2][width / 32 - 1](g + k, height, d, pairs, first, sums + (p * rows + row + k) * columns + column, columns);
    }
}

// Gᵀ s G for 16 inputs at a time.
void unpack_sums(const float* sums, int64_t outputs, int64_t inputs, int64_t begin, int64_t end, float* out, int64_t output_stride, int64_t input_stride, int64_t tap_stride) {
    const int64_t rows = padded(outputs, kGroup), columns = padded(inputs, kGroup), point = rows * columns;
    alignas(64) float taps[9][16];
    for (int64_t k = begin; k < end; ++k) {
        const int64_t row = k / kGroup * kGroup + (k % 2 ? 16 : 0) + k % kGroup / 2;
        for (int64_t c = 0; c < columns; c += 16) {
            const float* s = sums + row * columns + c;
            __m512 t[3][4];
            for (int j = 0; j < 4; ++j) {
                const __m512 b = _mm512_load_ps(s + (4 + j) * point), d = _mm512_load_ps(s + (8 + j) * point), middle = half(add(b, d));
                t[0][j] = add(_mm512_load_ps(s + j * point), middle); t[1][j] = half(sub(b, d)); t[2][j] = add(middle, _mm512_load_ps(s + (12 + j) * point));
            }
            for (int i = 0; i < 3; ++i) {
                const __m512 middle = half(add(t[i][1], t[i][2]));
                _mm512_store_ps(taps[3 * i], add(t[i][0], middle));
                _mm512_store_ps(taps[3 * i + 1], half(sub(t[i][1], t[i][2])));
                _mm512_store_ps(taps[3 * i + 2], add(middle, t[i][3]));
            }
            for (int64_t q = 0; q < 16; ++q) {
                const int64_t input = c / kGroup * kGroup + channel_of(c % kGroup + q);
                if (input >= inputs) continue;
                for (int64_t tap = 0; tap < 9; ++tap) out[k * output_stride + input * input_stride + tap * tap_stride] = taps[tap][q];
            }
        }
    }
}

} // namespace winograd
} // namespace gmx
#endif
