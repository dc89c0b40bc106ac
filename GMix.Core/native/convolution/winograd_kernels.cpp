// winograd.h: the convolution itself, which is also the gradient of the input. Compiled for AVX512-BF16.
#if defined(__AVX512BF16__)
#include "winograd_lanes.h"
#include <cstring>

namespace gmx {
namespace winograd {

// --- weights: G g Gᵀ, G = (1 0 0; ½ ½ ½; ½ -½ ½; 0 0 1) -------------------------------------------------------------------------

GMX_INLINE void transform_taps(const __m512* g, __m512* out) {
    __m512 t[4][3];
    for (int s = 0; s < 3; ++s) {
        const __m512 outer = add(g[s], g[6 + s]);
        t[0][s] = g[s]; t[1][s] = half(add(outer, g[3 + s])); t[2][s] = half(sub(outer, g[3 + s])); t[3][s] = g[6 + s];
    }
    for (int i = 0; i < 4; ++i) {
        const __m512 outer = add(t[i][0], t[i][2]);
        out[4 * i] = t[i][0]; out[4 * i + 1] = half(add(outer, t[i][1])); out[4 * i + 2] = half(sub(outer, t[i][1])); out[4 * i + 3] = t[i][2];
    }
}

// Transposes 16x16 elements of 32 bits.
GMX_INLINE void transpose(__m512i* r) {
    __m512i t[16];
    for (int i = 0; i < 8; ++i) { t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]); t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]); }
    for (int i = 0; i < 4; ++i) {
        r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]); r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]); r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0x88); t[4 + i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0xdd);
        t[8 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0x88); t[12 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0xdd);
    }
    for (int i = 0; i < 8; ++i) { r[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88); r[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd); }
}

// Where the outputs from `output` on begin in the transformed weights, and the steps from point to point and from pair to pair (in pairs).
struct Packed { uint32_t* p; int64_t point, pair; };
GMX_INLINE Packed packed_at(uint16_t* packed, const Weights& w, int64_t output) {
    const int64_t inputs = padded(w.inputs, kGroup), outputs = padded(w.outputs, 16), block = output / kBlock * kBlock;
    const int64_t width = outputs - block < kBlock ? outputs - block : kBlock;
    return {reinterpret_cast<uint32_t*>(packed + block * kPoints * inputs) + (output - block), inputs / 2 * width, width};
}

// Neighbouring outputs lie side by side: lanes are outputs.
static void pack_outputs(const Weights& w, int64_t output, uint16_t* packed) {
    const Packed to = packed_at(packed, w, output);
    const __mmask16 mask = w.outputs - output >= 16 ? 0xffff : (1u << (w.outputs - output)) - 1;
    const int64_t pairs = padded(w.inputs, kGroup) / 2;
    for (int64_t pair = 0; pair < pairs; ++pair) {
        __m512 u[2][kPoints];
        for (int64_t i = 0; i < 2; ++i) {
            const int64_t q = 2 * pair + i, input = q / kGroup * kGroup + channel_of(q % kGroup);
            __m512 g[9];
            for (int64_t tap = 0; tap < 9; ++tap) {
                const float* p = w.data + output * w.output_stride + input * w.input_stride + (w.flipped ? 8 - tap : tap) * w.tap_stride;
                g[tap] = input < w.inputs ? _mm512_maskz_loadu_ps(mask, p) : _mm512_setzero_ps();
            }
            transform_taps(g, u[i]);
        }
        for (int64_t p = 0; p < kPoints; ++p) _mm512_storeu_si512(to.p + p * to.point + pair * to.pair, zip(u[0][p], u[1][p]));
    }
}

// Any strides: lanes are inputs, turned afterwards.
static void pack_inputs(const Weights& w, int64_t output, uint16_t* packed) {
    const Packed to = packed_at(packed, w, output);
    alignas(64) float taps[9][kGroup];
    alignas(64) uint32_t square[kPoints][16][16];
    for (int64_t group = 0; group < w.inputs; group += kGroup) {
        for (int64_t o = 0; o < 16; ++o) {
            const bool exists = output + o < w.outputs;
            if (!exists || group + kGroup > w.inputs) std::memset(taps, 0, sizeof taps);
            for (int64_t q = 0; exists && q < kGroup; ++q) {
                const int64_t input = group + channel_of(q);
                if (input >= w.inputs) continue;
                const float* p = w.data + (output + o) * w.output_stride + input * w.input_stride;
                for (int64_t tap = 0; tap < 9; ++tap) taps[tap][q] = p[(w.flipped ? 8 - tap : tap) * w.tap_stride];
            }
            __m512 u[2][kPoints], g[9];
            for (int64_t i = 0; i < 2; ++i) {
                for (int64_t tap = 0; tap < 9; ++tap) g[tap] = _mm512_load_ps(taps[tap] + 16 * i);
                transform_taps(g, u[i]);
            }
            for (int64_t p = 0; p < kPoints; ++p) _mm512_store_si512(square[p][o], round_pair(u[0][p], u[1][p]));
        }
        for (int64_t p = 0; p < kPoints; ++p) {
            __m512i r[16];
            for (int64_t o = 0; o < 16; ++o) r[o] = _mm512_load_si512(square[p][o]);
            transpose(r);
            for (int64_t pair = 0; pair < 16; ++pair) _mm512_storeu_si512(to.p + p * to.point + (group / 2 + pair) * to.pair, r[pair]);
        }
    }
}

void pack_weights(const Weights& weights, int64_t begin, int64_t end, uint16_t* packed) {
    for (int64_t unit = begin; unit < end; ++unit) weights.output_stride == 1 ? pack_outputs(weights, 16 * unit, packed) : pack_inputs(weights, 16 * unit, packed);
}

// --- input: Bᵀ d B ----------------------------------------------------------------------------------------------------------------

// Row Row of the transformed tiles, 32 channels; neighbouring tiles share two of their four columns.
template <int Row>
GMX_INLINE void transform_row(const Rows& rows, const Map& map, int64_t c, __mmask32 mask, int64_t tile, int64_t tiles, uint16_t* out, int64_t width, int64_t point) {
    int64_t x = 2 * tile - 1;
    Channels d0 = column<Row>(rows, x * map.c + c, x >= 0, mask), d1 = column<Row>(rows, (x + 1) * map.c + c, true, mask);
    out += 4 * Row * point;
    for (int64_t t = 0; t < tiles; ++t, x += 2, out += width) {
        const Channels d2 = column<Row>(rows, (x + 2) * map.c + c, x + 2 < map.w, mask), d3 = column<Row>(rows, (x + 3) * map.c + c, x + 3 < map.w, mask);
        const Channels v[4] = {d0 - d2, d1 + d2, d2 - d1, d1 - d3};
        for (int j = 0; j < 4; ++j) _mm512_store_si512(out + j * point, round_pair(v[j].e, v[j].o));
        d0 = d2; d1 = d3;
    }
}

// Tiles [begin, end) to [point][tile][channels padded].
static void transform_input(const uint16_t* x, const Map& map, int64_t begin, int64_t end, uint16_t* out) {
    const int64_t width = padded(map.c, kGroup), across = map.tiles_across(), point = (end - begin) * width;
    for (int64_t t = begin; t < end;) {
        const int64_t tile = t % across, tiles = across - tile < end - t ? across - tile : end - t;
        const Rows rows = rows_under(x, map, t / across);
        for (int64_t c = 0; c < width; c += kGroup) {
            const __mmask32 mask = group_mask(map.c - c);
            uint16_t* to = out + (t - begin) * width + c;
            transform_row<0>(rows, map, c, mask, tile, tiles, to, width, point);
            transform_row<1>(rows, map, c, mask, tile, tiles, to, width, point);
            transform_row<2>(rows, map, c, mask, tile, tiles, to, width, point);
            transform_row<3>(rows, map, c, mask, tile, tiles, to, width, point);
        }
        t += tiles;
    }
}

// --- products: [tile][outputs] = [tile][inputs] x [inputs][outputs] for one point ----------------------------------------------------

// Up to 6 tiles x 4 registers of outputs: 24 sums, 4 registers of weights and one of inputs fit the 32 that there are.
template <int Tiles, int Registers>
static void multiply(const uint32_t* input, int64_t width, const uint32_t* weights, int64_t pairs, float* out) {
    __m512 sum[Tiles][Registers];
#pragma GCC unroll 8
    for (int t = 0; t < Tiles; ++t)
#pragma GCC unroll 8
        for (int j = 0; j < Registers; ++j) sum[t][j] = _mm512_setzero_ps();
    for (int64_t pair = 0; pair < pairs; ++pair, weights += 16 * Registers) {
        __m512i w[Registers];
#pragma GCC unroll 8
        for (int j = 0; j < Registers; ++j) w[j] = _mm512_load_si512(weights + 16 * j);
#pragma GCC unroll 8
        for (int t = 0; t < Tiles; ++t) {
            const __m512i d = _mm512_set1_epi32(static_cast<int>(input[t * width + pair]));
#pragma GCC unroll 8
            for (int j = 0; j < Registers; ++j) sum[t][j] = _mm512_dpbf16_ps(sum[t][j], (__m512bh)d, (__m512bh)w[j]);
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tiles; ++t)
#pragma GCC unroll 8
        for (int j = 0; j < Registers; ++j) _mm512_store_ps(out + 16 * (t * Registers + j), sum[t][j]);
}

using Multiply = void (*)(const uint32_t*, int64_t, const uint32_t*, int64_t, float*);
#define GMX_BY_REGISTERS(tiles) {multiply<tiles, 1>, multiply<tiles, 2>, multiply<tiles, 3>, multiply<tiles, 4>}
static const Multiply kMultiply[6][4] = {GMX_BY_REGISTERS(1), GMX_BY_REGISTERS(2), GMX_BY_REGISTERS(3), GMX_BY_REGISTERS(4), GMX_BY_REGISTERS(5), GMX_BY_REGISTERS(6)};

// --- output: Aᵀ m A, Aᵀ = (1 1 1 0; 0 1 -1 -1) -------------------------------------------------------------------------------------

GMX_INLINE void transform_products(const float* m, int64_t point, __m512* y) {
    __m512 top[4], bottom[4];
    for (int j = 0; j < 4; ++j) {
        const __m512 a = _mm512_load_ps(m + j * point), b = _mm512_load_ps(m + (4 + j) * point), c = _mm512_load_ps(m + (8 + j) * point), d = _mm512_load_ps(m + (12 + j) * point);
        top[j] = add(a, add(b, c)); bottom[j] = sub(sub(b, c), d);
    }
    y[0] = add(top[0], add(top[1], top[2])); y[1] = sub(sub(top[1], top[2]), top[3]);
    y[2] = add(bottom[0], add(bottom[1], bottom[2])); y[3] = sub(sub(bottom[1], bottom[2]), bottom[3]);
}

// Half of the 32 outputs of a store may be missing at the end of a block.
static void transform_output(const float* m, int64_t width, const Map& map, int64_t outputs, int64_t output, int64_t begin, int64_t end, uint16_t* y) {
    const int64_t across = map.tiles_across(), rows = (map.h + 1) / 2, point = (end - begin) * width;
    for (int64_t t = begin; t < end; ++t, m += width) {
        const int64_t across_at = t % across, row = t / across % rows, image = t / across / rows;
        uint16_t* to = y + ((image * map.h + 2 * row) * map.w + 2 * across_at) * outputs + output;
        const bool right = 2 * across_at + 1 < map.w, below = 2 * row + 1 < map.h;
        for (int64_t j = 0; j < width; j += kGroup) {
            __m512 a[4], b[4] = {};
            transform_products(m + j, point, a);
            if (j + 16 < width) transform_products(m + j + 16, point, b);
            const __mmask32 mask = group_mask(outputs - output - j);
            _mm512_mask_storeu_epi16(to + j, mask, round_pair(a[0], b[0]));
            if (right) _mm512_mask_storeu_epi16(to + j + outputs, mask, round_pair(a[1], b[1]));
            if (below) _mm512_mask_storeu_epi16(to + j + map.w * outputs, mask, round_pair(a[2], b[2]));
            if (below && right) _mm512_mask_storeu_epi16(to + j + (map.w + 1) * outputs, mask, round_pair(a[3], b[3]));
        }
    }
}

// --- the three together ----------------------------------------------------------------------------------------------------------------

int64_t tiles_together(int64_t inputs) {
    const int64_t fit = 400000 / (2 * kPoints * padded(inputs, kGroup)) / 6 * 6;
    return fit < 24 ? 24 : fit > 96 ? 96 : fit;
}

int64_t convolve_scratch(int64_t inputs) {
    return kPoints * tiles_together(inputs) * (padded(inputs, kGroup) * 2 + kBlock * 4);
}

void convolve(const uint16_t* x, const Map& map, const uint16_t* packed, int64_t outputs, int64_t begin, int64_t end, char* scratch, uint16_t* y) {
    const int64_t inputs = padded(map.c, kGroup), outputs_padded = padded(outputs, 16), together = tiles_together(map.c);
    auto* transformed = reinterpret_cast<uint16_t*>(scratch);
    auto* products = reinterpret_cast<float*>(scratch + 2 * kPoints * together * inputs);
    for (int64_t t = begin; t < end; t += together) {
        const int64_t tiles = together < end - t ? together : end - t;
        transform_input(x, map, t, t + tiles, transformed);
        for (int64_t output = 0; output < outputs_padded; output += kBlock) {
            const int64_t width = outputs_padded - output < kBlock ? outputs_padded - output : kBlock;
            for (int64_t p = 0; p < kPoints; ++p) {
                const auto* input = reinterpret_cast<const uint32_t*>(transformed + p * tiles * inputs);
                const auto* weights = reinterpret_cast<const uint32_t*>(packed + kPoints * output * inputs + p * inputs * width);
                for (int64_t i = 0; i < tiles; i += 6)
                    kMultiply[tiles - i < 6 ? tiles - i - 1 : 5][width / 16 - 1](input + i * (inputs / 2), inputs / 2, weights, inputs / 2, products + (p * tiles + i) * width);
            }
            transform_output(products, width, map, outputs, output, t, t + tiles, y);
        }
    }
}

} // namespace winograd
} // namespace gmx
#endif
