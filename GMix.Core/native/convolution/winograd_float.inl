// The kernels of winograd_float.h for one instruction set: the file that includes this one first includes that header, then chooses the
// instructions by a pragma, and names the table by GMX_TABLE, the floats of a register by GMX_LANES and the registers that a row of products
// takes by GMX_REGISTERS. There is nothing but plain language in here: an inline function of a library, compiled for AVX-512, could end up
// being the one that every file uses.
#define GMX_INLINE inline __attribute__((always_inline))

namespace gmx {
namespace winograd {
namespace in_float { // winograd.h has kernels of the same names
namespace {

constexpr int kLanes = GMX_LANES, kRegisters = GMX_REGISTERS;
constexpr int64_t kWidth = kLanes * kRegisters; // outputs that one call of `multiply` writes
constexpr int kTiles = 6;                       // and its tiles: 6 x kRegisters sums, the weights and an input fit the registers

typedef float F __attribute__((vector_size(kLanes * sizeof(float))));

GMX_INLINE F load(const float* p) { F v; __builtin_memcpy(&v, p, sizeof v); return v; }
GMX_INLINE void store(float* p, const F& v) { __builtin_memcpy(p, &v, sizeof v); }
GMX_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
GMX_INLINE int64_t across_of(const Map& map) { return (map.w + 1) / 2; }
GMX_INLINE int64_t down_of(const Map& map) { return (map.h + 1) / 2; }

alignas(64) const float kNothing[kLanes] = {};

// --- weights: G g Gᵀ, G = (1 0 0; ½ ½ ½; ½ -½ ½; 0 0 1) -------------------------------------------------------------------------

GMX_INLINE void transform_taps(const F* g, F* out) {
    F t[4][3];
    for (int s = 0; s < 3; ++s) {
        const F outer = g[s] + g[6 + s];
        t[0][s] = g[s]; t[1][s] = (outer + g[3 + s]) * 0.5f; t[2][s] = (outer - g[3 + s]) * 0.5f; t[3][s] = g[6 + s];
    }
    for (int i = 0; i < 4; ++i) {
        const F outer = t[i][0] + t[i][2];
        out[4 * i] = t[i][0]; out[4 * i + 1] = (outer + t[i][1]) * 0.5f; out[4 * i + 2] = (outer - t[i][1]) * 0.5f; out[4 * i + 3] = t[i][2];
    }
}

// To [block of kWidth outputs][point][input][output].
void pack_weights(const Weights& w, int64_t begin, int64_t end, float* packed) {
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t output = unit * kLanes, block = output / kWidth * kWidth, width = least(w.outputs - block, kWidth), point = w.inputs * width;
        float* to = packed + block * kPoints * w.inputs + (output - block);
        for (int64_t input = 0; input < w.inputs; ++input, to += width) {
            F g[9], u[kPoints];
            for (int64_t tap = 0; tap < 9; ++tap) {
                const float* p = w.data + output * w.output_stride + input * w.input_stride + (w.flipped ? 8 - tap : tap) * w.tap_stride;
                if (w.output_stride == 1) g[tap] = load(p);
                else {
                    float lanes[kLanes];
                    for (int i = 0; i < kLanes; ++i) lanes[i] = p[i * w.output_stride];
                    g[tap] = load(lanes);
                }
            }
            transform_taps(g, u);
            for (int64_t p = 0; p < kPoints; ++p) store(to + p * point, u[p]);
        }
    }
}

// --- input: Bᵀ d B ----------------------------------------------------------------------------------------------------------------

// The four image rows under a row of tiles; null where padding is.
struct Rows { const float* p[4]; };
GMX_INLINE Rows rows_under(const float* x, const Map& map, int64_t tile_row) {
    const int64_t rows = down_of(map), image = tile_row / rows, top = 2 * (tile_row % rows) - 1;
    Rows r;
    for (int64_t i = 0; i < 4; ++i) r.p[i] = top + i >= 0 && top + i < map.h ? x + (image * map.h + top + i) * map.w * map.c : nullptr;
    return r;
}

// One pixel column of a tile, row Row of Bᵀd, Bᵀ = (1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1): each row of Bᵀ takes two of the four pixels.
template <int Row>
GMX_INLINE F column(const Rows& rows, int64_t offset, bool inside) {
    constexpr int kA = Row == 0 ? 0 : Row == 2 ? 2 : 1, kB = Row == 2 ? 1 : Row == 3 ? 3 : 2;
    const F a = load(inside && rows.p[kA] ? rows.p[kA] + offset : kNothing), b = load(inside && rows.p[kB] ? rows.p[kB] + offset : kNothing);
    return Row == 1 ? a + b : a - b;
}

// Row Row of `tiles` transformed tiles, a register of channels; neighbouring tiles share two of their four columns. Tiles are `step` apart in
// `out`, points `point`.
template <int Row>
GMX_INLINE void transform_row(const Rows& rows, const Map& map, int64_t c, int64_t tile, int64_t tiles, float* out, int64_t step, int64_t point) {
    int64_t x = 2 * tile - 1;
    F d0 = column<Row>(rows, x * map.c + c, x >= 0), d1 = column<Row>(rows, (x + 1) * map.c + c, true);
    out += 4 * Row * point;
    for (int64_t t = 0; t < tiles; ++t, x += 2, out += step) {
        const F d2 = column<Row>(rows, (x + 2) * map.c + c, x + 2 < map.w), d3 = column<Row>(rows, (x + 3) * map.c + c, x + 3 < map.w);
        store(out, d0 - d2);
        store(out + point, d1 + d2);
        store(out + 2 * point, d2 - d1);
        store(out + 3 * point, d1 - d3);
        d0 = d2; d1 = d3;
    }
}
GMX_INLINE void transform_rows(const Rows& rows, const Map& map, int64_t c, int64_t tile, int64_t tiles, float* out, int64_t step, int64_t point) {
    transform_row<0>(rows, map, c, tile, tiles, out, step, point);
    transform_row<1>(rows, map, c, tile, tiles, out, step, point);
    transform_row<2>(rows, map, c, tile, tiles, out, step, point);
    transform_row<3>(rows, map, c, tile, tiles, out, step, point);
}

// Tiles [begin, end) to [point][tile][channel].
void transform_tiles(const float* x, const Map& map, int64_t begin, int64_t end, float* out) {
    const int64_t across = across_of(map), point = (end - begin) * map.c;
    for (int64_t t = begin; t < end;) {
        const int64_t tile = t % across, tiles = least(across - tile, end - t);
        const Rows rows = rows_under(x, map, t / across);
        for (int64_t c = 0; c < map.c; c += kLanes) transform_rows(rows, map, c, tile, tiles, out + (t - begin) * map.c + c, map.c, point);
        t += tiles;
    }
}

// --- products: [tile][outputs] = [tile][inputs] x [inputs][outputs] for one point ----------------------------------------------------

template <int Tiles, int Registers>
void multiply(const float* input, int64_t inputs, const float* weights, float* out) {
    F sum[Tiles][Registers];
#pragma GCC unroll 8
    for (int t = 0; t < Tiles; ++t)
#pragma GCC unroll 8
        for (int j = 0; j < Registers; ++j) sum[t][j] = F{};
    for (int64_t i = 0; i < inputs; ++i, weights += kLanes * Registers) {
        F w[Registers];
#pragma GCC unroll 8
        for (int j = 0; j < Registers; ++j) w[j] = load(weights + kLanes * j);
#pragma GCC unroll 8
        for (int t = 0; t < Tiles; ++t) {
            const F d = input[t * inputs + i] - F{};
#pragma GCC unroll 8
            for (int j = 0; j < Registers; ++j) sum[t][j] += d * w[j];
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tiles; ++t)
#pragma GCC unroll 8
        for (int j = 0; j < Registers; ++j) store(out + kLanes * (t * Registers + j), sum[t][j]);
}

template <int Registers>
void multiply_tiles(const float* input, int64_t tiles, int64_t inputs, const float* weights, float* out) {
    int64_t t = 0;
    for (; t + kTiles <= tiles; t += kTiles) multiply<kTiles, Registers>(input + t * inputs, inputs, weights, out + t * kLanes * Registers);
    for (; t + 2 <= tiles; t += 2) multiply<2, Registers>(input + t * inputs, inputs, weights, out + t * kLanes * Registers);
    if (t < tiles) multiply<1, Registers>(input + t * inputs, inputs, weights, out + t * kLanes * Registers);
}

template <int Registers>
GMX_INLINE void multiply_width(int64_t width, const float* input, int64_t tiles, int64_t inputs, const float* weights, float* out) {
    if constexpr (Registers > 1)
        if (width < Registers * kLanes) return multiply_width<Registers - 1>(width, input, tiles, inputs, weights, out);
    multiply_tiles<Registers>(input, tiles, inputs, weights, out);
}

// --- output: Aᵀ m A, Aᵀ = (1 1 1 0; 0 1 -1 -1) -------------------------------------------------------------------------------------

GMX_INLINE void transform_products(const float* m, int64_t point, F* y) {
    F top[4], bottom[4];
    for (int j = 0; j < 4; ++j) {
        const F a = load(m + j * point), b = load(m + (4 + j) * point), c = load(m + (8 + j) * point), d = load(m + (12 + j) * point);
        top[j] = a + (b + c); bottom[j] = (b - c) - d;
    }
    y[0] = top[0] + (top[1] + top[2]); y[1] = (top[1] - top[2]) - top[3];
    y[2] = bottom[0] + (bottom[1] + bottom[2]); y[3] = (bottom[1] - bottom[2]) - bottom[3];
}

void transform_output(const float* m, int64_t width, const Map& map, int64_t outputs, int64_t output, int64_t begin, int64_t end, float* y) {
    const int64_t across = across_of(map), rows = down_of(map), point = (end - begin) * width;
    for (int64_t t = begin; t < end; ++t, m += width) {
        const int64_t across_at = t % across, row = t / across % rows, image = t / across / rows;
        float* to = y + ((image * map.h + 2 * row) * map.w + 2 * across_at) * outputs + output;
        const bool right = 2 * across_at + 1 < map.w, below = 2 * row + 1 < map.h;
        for (int64_t j = 0; j < width; j += kLanes) {
            F out[4];
            transform_products(m + j, point, out);
            store(to + j, out[0]);
            if (right) store(to + j + outputs, out[1]);
            if (below) store(to + j + map.w * outputs, out[2]);
            if (below && right) store(to + j + (map.w + 1) * outputs, out[3]);
        }
    }
}

// --- the three together ----------------------------------------------------------------------------------------------------------------

// Tiles that are worked on together, so that their transformed inputs and products stay in the second-level cache.
GMX_INLINE int64_t together_of(int64_t inputs) {
    const int64_t fit = 524288 / (4 * kPoints * (inputs + kWidth)) / kTiles * kTiles;
    return fit < 24 ? 24 : fit > 96 ? 96 : fit;
}

int64_t convolve_scratch(int64_t inputs) { return kPoints * together_of(inputs) * (inputs + kWidth); }

void convolve(const float* x, const Map& map, const float* packed, int64_t outputs, int64_t begin, int64_t end, float* scratch, float* y) {
    const int64_t inputs = map.c, together = together_of(inputs);
    float *transformed = scratch, *products = scratch + kPoints * together * inputs;
    for (int64_t t = begin; t < end; t += together) {
        const int64_t tiles = least(together, end - t);
        transform_tiles(x, map, t, t + tiles, transformed);
        for (int64_t output = 0; output < outputs; output += kWidth) {
            const int64_t width = least(outputs - output, kWidth);
            for (int64_t p = 0; p < kPoints; ++p)
                multiply_width<kRegisters>(width, transformed + p * tiles * inputs, tiles, inputs, packed + (kPoints * output + p * width) * inputs, products + p * tiles * width);
            transform_output(products, width, map, outputs, output, t, t + tiles, y);
        }
    }
}

// --- the gradient of the weights: Gᵀ [Σ over tiles (A dy Aᵀ) ⊙ (Bᵀ d B)] G ----------------------------------------------------------------

// Where channel c of tile `from` on goes in [point][block of 64 channels][tile][channel].
struct Place { float* p; int64_t step, point; };
GMX_INLINE Place place_of(float* out, int64_t channels, int64_t c, int64_t tiles, int64_t from) {
    const int64_t block = c / kBlock * kBlock, width = least(channels - block, kBlock);
    return {out + block * tiles + from * width + (c - block), width, channels * tiles};
}

void transform_input(const float* x, const Map& map, int64_t begin, int64_t end, int64_t first, int64_t rows, float* out) {
    const int64_t across = across_of(map);
    for (int64_t row = begin; row < end; ++row) {
        const Rows under = rows_under(x, map, row);
        for (int64_t c = 0; c < map.c; c += kLanes) {
            const Place to = place_of(out, map.c, c, rows * across, (row - first) * across);
            transform_rows(under, map, c, 0, across, to.p, to.step, to.point);
        }
    }
}

// A = (1 0; 1 1; 1 -1; 0 -1).
void transform_gradient(const float* g, const Map& map, int64_t begin, int64_t end, int64_t first, int64_t rows, float* out) {
    const int64_t across = across_of(map), down = down_of(map);
    for (int64_t row = begin; row < end; ++row) {
        const int64_t y = 2 * (row % down);
        const float* upper = g + (row / down * map.h + y) * map.w * map.c;
        const float* lower = y + 1 < map.h ? upper + map.w * map.c : nullptr;
        for (int64_t c = 0; c < map.c; c += kLanes) {
            const Place to = place_of(out, map.c, c, rows * across, (row - first) * across);
            float* p = to.p;
            for (int64_t i = 0, at = c; i < across; ++i, at += 2 * map.c, p += to.step) {
                const bool right = 2 * i + 1 < map.w;
                const F a = load(upper + at), b = load(right ? upper + at + map.c : kNothing), d = load(lower ? lower + at : kNothing), e = load(right && lower ? lower + at + map.c : kNothing);
                const F left[4] = {a, a + d, a - d, F{} - d}, both[4] = {b, b + e, b - e, F{} - e};
                for (int r = 0; r < 4; ++r) {
                    float* q = p + 4 * r * to.point;
                    store(q, left[r]);
                    store(q + to.point, left[r] + both[r]);
                    store(q + 2 * to.point, left[r] - both[r]);
                    store(q + 3 * to.point, F{} - both[r]);
                }
            }
        }
    }
}

// out [outputs][inputs] of one point (+)= Σ over tiles gradient [tile][outputs] x input [tile][inputs].
template <int Outputs, int Registers>
void sum_products(const float* gradient, int64_t height, const float* input, int64_t width, int64_t tiles, bool first, float* out, int64_t stride) {
    F sum[Outputs][Registers];
#pragma GCC unroll 8
    for (int k = 0; k < Outputs; ++k)
#pragma GCC unroll 8
        for (int j = 0; j < Registers; ++j) sum[k][j] = F{};
    for (int64_t t = 0; t < tiles; ++t, input += width, gradient += height) {
        F d[Registers];
#pragma GCC unroll 8
        for (int j = 0; j < Registers; ++j) d[j] = load(input + kLanes * j);
#pragma GCC unroll 8
        for (int k = 0; k < Outputs; ++k) {
            const F g = gradient[k] - F{};
#pragma GCC unroll 8
            for (int j = 0; j < Registers; ++j) sum[k][j] += g * d[j];
        }
    }
#pragma GCC unroll 8
    for (int k = 0; k < Outputs; ++k)
#pragma GCC unroll 8
        for (int j = 0; j < Registers; ++j) {
            float* to = out + k * stride + kLanes * j;
            store(to, first ? sum[k][j] : load(to) + sum[k][j]);
        }
}

template <int Registers>
void sum_outputs(const float* gradient, int64_t height, const float* input, int64_t width, int64_t tiles, bool first, float* out, int64_t stride) {
    int64_t k = 0;
    for (; k + kTiles <= height; k += kTiles) sum_products<kTiles, Registers>(gradient + k, height, input, width, tiles, first, out + k * stride, stride);
    for (; k < height; k += 2) sum_products<2, Registers>(gradient + k, height, input, width, tiles, first, out + k * stride, stride);
}

template <int Registers>
GMX_INLINE void sum_width(int64_t left, const float* gradient, int64_t height, const float* input, int64_t width, int64_t tiles, bool first, float* out, int64_t stride) {
    if constexpr (Registers > 1)
        if (left < Registers * kLanes) return sum_width<Registers - 1>(left, gradient, height, input, width, tiles, first, out, stride);
    sum_outputs<Registers>(gradient, height, input, width, tiles, first, out, stride);
}

// Sums begin at zero again after so many tiles: they lose less to rounding than one long sum would, and the tiles stay close.
constexpr int64_t kTilesPerSum = 256;

void sum_tiles(const float* gradient, const float* input, int64_t tiles, int64_t outputs, int64_t inputs, int64_t begin, int64_t end, bool first, float* sums) {
    const int64_t row_blocks = (outputs + kBlock - 1) / kBlock, column_blocks = (inputs + kBlock - 1) / kBlock;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t column = unit % column_blocks * kBlock, row = unit / column_blocks % row_blocks * kBlock, p = unit / column_blocks / row_blocks;
        const int64_t width = least(inputs - column, kBlock), height = least(outputs - row, kBlock);
        const float* g = gradient + (p * outputs + row) * tiles;
        const float* d = input + (p * inputs + column) * tiles;
        float* to = sums + (p * outputs + row) * inputs + column;
        for (int64_t t = 0; t < tiles; t += kTilesPerSum)
            for (int64_t j = 0; j < width; j += kWidth)
                sum_width<kRegisters>(width - j, g + t * height, height, d + t * width + j, width, least(tiles - t, kTilesPerSum), first && t == 0, to + j, inputs);
    }
}

void unpack_sums(const float* sums, int64_t outputs, int64_t inputs, int64_t begin, int64_t end, float* out, int64_t output_stride, int64_t input_stride, int64_t tap_stride) {
    const int64_t point = outputs * inputs;
    for (int64_t k = begin; k < end; ++k)
        for (int64_t c = 0; c < inputs; c += kLanes) {
            const float* s = sums + k * inputs + c;
            F t[3][4];
            for (int j = 0; j < 4; ++j) {
                const F b = load(s + (4 + j) * point), d = load(s + (8 + j) * point), middle = (b + d) * 0.5f;
                t[0][j] = load(s + j * point) + middle; t[1][j] = (b - d) * 0.5f; t[2][j] = middle + load(s + (12 + j) * point);
            }
            float taps[9][kLanes];
            for (int i = 0; i < 3; ++i) {
                const F middle = (t[i][1] + t[i][2]) * 0.5f;
                store(taps[3 * i], t[i][0] + middle);
                store(taps[3 * i + 1], (t[i][1] - t[i][2]) * 0.5f);
                store(taps[3 * i + 2], middle + t[i][3]);
            }
            for (int64_t tap = 0; tap < 9; ++tap) {
                float* to = out + k * output_stride + c * input_stride + tap * tap_stride;
                if (input_stride == 1) __builtin_memcpy(to, taps[tap], sizeof taps[tap]);
                else for (int q = 0; q < kLanes; ++q) to[q * input_stride] = taps[tap][q];
            }
        }
}

constexpr FloatKernels kKernels{kLanes, pack_weights, convolve_scratch, convolve, transform_input, transform_gradient, sum_tiles, unpack_sums};

} // namespace
} // namespace in_float

const FloatKernels FloatTables::GMX_TABLE = in_float::kKernels;

} // namespace winograd
} // namespace gmx
