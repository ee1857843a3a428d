// The matrix product of the AVX-512 VNNI set: up to 8 rows × 48 columns of accumulators in registers, epilogue fused.
#include <immintrin.h>

#include <algorithm>

#include "avx512_epilogue.h"
#include "avx512_rows.h"
#include "elementwise.h"
#include "kernels.h"

namespace p2vit {
namespace {

constexpr int kRows = 8;    // rows of a register tile
constexpr int kWidth = 3;   // panels of a register tile: 8·3 accumulators, 3 weights and a broadcast fill 32 registers

inline int load_quad(const uint8_t* a) {
    int value;
    __builtin_memcpy(&value, a, sizeof value);
    return value;
}

// Computes R rows × W panels over all of K. Each step also prefetches one cache line of the next weights, from `ahead`
// on, into the level-2 cache.
template <int R, int W>
void tile(const Gemm& g, const int8_t* b, const int8_t* ahead, size_t stride, int row, int panel) {
    const uint8_t* a = g.a + row * g.a_pitch;
    const ptrdiff_t pitch = g.a_pitch;
    __m512i acc[R][W];
#pragma GCC unroll 4
    for (int j = 0; j < W; ++j) {
        const __m512i bias = load(g.bias + (panel + j) * kPanel);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) acc[i][j] = bias;
    }
    for (int q = 0; q < g.quads; ++q) {
        __m512i w[W];
#pragma GCC unroll 4
        for (int j = 0; j < W; ++j) w[j] = load(b + j * stride + q * 64);
        _mm_prefetch(reinterpret_cast<const char*>(ahead + q * 64), _MM_HINT_T1);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) {
            const __m512i x = _mm512_set1_epi32(load_quad(a + i * pitch + 4 * q));
#pragma GCC unroll 4
            for (int j = 0; j < W; ++j) acc[i][j] = _mm512_dpbusd_epi32(acc[i][j], x, w[j]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) finish_row<W>(g.end, row + i, panel * kPanel, acc[i]);
}

using Tile = void (*)(const Gemm&, const int8_t*, const int8_t*, size_t, int, int);
template <int W>
constexpr Tile tiles_of_width[kRows] = {tile<1, W>, tile<2, W>, tile<3, W>, tile<4, W>,
                                        tile<5, W>, tile<6, W>, tile<7, W>, tile<8, W>};
constexpr const Tile* tiles[kWidth] = {tiles_of_width<1>, tiles_of_width<2>, tiles_of_width<3>};

void gemm(const Gemm& g) {
    const size_t stride = size_t(g.quads) * kPanel * kQuad;
    auto* unpacked = reinterpret_cast<int8_t*>(g.scratch);
    const int blocks = ceil_div(g.rows, kRows);
    for (int panel = 0; panel < g.panels;) {
        const int left = g.panels - panel;
        const int width = left == 4 ? 2 : left < kWidth ? left : kWidth;   // 4 = 2 + 2 rather than 3 + 1
        const int8_t* b = g.b + panel * stride;
        if (g.nibbles) {
            unpack_nibbles(reinterpret_cast<const uint8_t*>(g.b) + panel * stride / 2, g.quads * width, unpacked);
            b = unpacked;
        }
        // Blocks of rows whose sizes differ by one at most, instead of a small last block.
        for (int block = 0, row = 0; block < blocks; ++block) {
            const int rows = g.rows / blocks + (block < g.rows % blocks);
            const int8_t* ahead =
                !g.nibbles && block < left - width ? g.b + (panel + width + std::min(block, kWidth - 1)) * stride : b;
            tiles[width - 1][rows - 1](g, b, ahead, stride, row, panel);
            row += rows;
        }
        panel += width;
    }
}

int64_t probe() {
    constexpr int kCount = 24, kTurns = 10000;
    const __m512i x = _mm512_set1_epi8(3), w = _mm512_set1_epi8(5);
    __m512i acc[kCount] = {};
    for (int turn = 0; turn < kTurns; ++turn)
#pragma GCC unroll 24
        for (int i = 0; i < kCount; ++i) {
            acc[i] = _mm512_dpbusd_epi32(acc[i], x, w);
            asm volatile("" : "+v"(acc[i]));
        }
    return int64_t{kTurns} * kCount * 64;
}

constexpr Kernels table{"avx512vnni", gemm, avx512::layernorm, avx512::softmax, avx512::quotient, rotary_row, multiply_row, probe};
}   // namespace

const Kernels* kernels_avx512vnni() { return &table; }

}   // namespace p2vit
