// The matrix product of the AMX set: blocks of up to 32 rows × 32 columns of accumulators in four tiles. While the tile
// unit multiplies one block, the epilogue of the block before it runs in the vector unit.
#include <algorithm>

#include "amx_tiles.h"
#include "avx512_epilogue.h"
#include "avx512_rows.h"
#include "elementwise.h"
#include "kernels.h"

namespace p2vit {
namespace {

constexpr int kBandRows = 256;   // rows that go through all columns together
constexpr int kBlockRows = 2 * amx::kTileRows;
constexpr int kBlockPanels = 2;
constexpr int kStepBytes = amx::kTileQuads * kPanel * kQuad;   // of the weights of one panel

// How the rows are divided: blocks of the same height, the last of which may overlap the one before it, each in an upper
// and a lower tile. So one configuration of the tiles serves the whole product.
struct Division {
    int blocks, height, upper, lower;

    explicit Division(int rows) : blocks(ceil_div(rows, kBlockRows)), height(ceil_div(rows, blocks)) {
        upper = height <= amx::kTileRows ? height : (height + 1) / 2;
        lower = height - upper;
    }
};

void configure(const Division& d) {
    amx::TileConfig config;
    for (int t = 0; t < amx::kTiles; ++t) config.row_bytes[t] = amx::kTileBytes;
    for (int t : {0, 1, 4}) config.rows[t] = uint8_t(d.upper);
    for (int t : {2, 3, 5}) {
        config.rows[t] = uint8_t(d.lower);
        if (!d.lower) config.row_bytes[t] = 0;
    }
    for (int t : {6, 7}) config.rows[t] = amx::kTileQuads;
    amx::load_config(config);
}

// Two rows of 32 columns, re-quantized to bytes and perhaps looked up.
inline void finish_pair(const Epilogue& e, int row, int column, const int32_t* acc) {
    const __m512i first = load(e.shift + column), second = load(e.shift + column + kPanel);
    const __m512i value[4] = {_mm512_srav_epi32(load(acc), first), _mm512_srav_epi32(load(acc + kPanel), second),
                              _mm512_srav_epi32(load(acc + 2 * kPanel), first),
                              _mm512_srav_epi32(load(acc + 3 * kPanel), second)};
    __m512i bytes = narrow8<4>(value);
    if (e.table) bytes = lookup(e.table_of(column), bytes);
    std::byte* out = static_cast<std::byte*>(e.out) + row * e.out_pitch + column;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(bytes));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + e.out_pitch), _mm512_extracti64x4_epi64(bytes, 1));
}

// Accumulators of a block that wait for their epilogue: [rows][width · kPanel].
struct Waiting {
    const int32_t* acc = nullptr;
    int first = 0;   // row of the product of the first one
    int next = 0, end = 0;
    int column = 0, width = 0;

    template <int W>
    void finish_rows(const Epilogue& e, int last) {
        if (W == 2 && e.out_bits == 8 && !e.residual)
            for (; next + 1 < last; next += 2)
                finish_pair(e, first + next, column, acc + next * W * kPanel);
        for (; next < last; ++next) {
            __m512i row[W];
            for (int j = 0; j < W; ++j) row[j] = load(acc + (next * W + j) * kPanel);
            finish_row<W>(e, first + next, column, row);
        }
    }

    void advance(const Epilogue& e, int rows) {
        const int last = std::min(next + rows, end);
        if (width == 2)
            finish_rows<2>(e, last);
        else
            finish_rows<1>(e, last);
    }
};

struct Operands {
    const uint8_t* a;      // first row of the block
    const uint8_t* rest;   // the columns after the last whole step, and zeros: [rows][kTileBytes]
    const int8_t* b;       // first panel
    const int32_t* bias;
    size_t stride;         // of the panels
    ptrdiff_t pitch;
    int steps, whole, upper;
    const int8_t* ahead;   // weights to prefetch: so many lines a step
    int ahead_lines;
};

// Accumulates M tiles of rows × N panels in tiles 0 to 3.
template <int M, int N, typename Between>
inline void accumulate(const Operands& o, Between between) {
    amx::load_tile<0>(o.bias, 0);
    if (N == 2) amx::load_tile<1>(o.bias + kPanel, 0);
    if (M == 2) amx::load_tile<2>(o.bias, 0);
    if (M == 2 && N == 2) amx::load_tile<3>(o.bias + kPanel, 0);
    const int8_t *b = o.b, *ahead = o.ahead;
    for (int k = 0; k < o.steps; ++k, b += kStepBytes) {
        const bool whole = k < o.whole;
        const uint8_t* a = whole ? o.a + k * amx::kTileBytes : o.rest;
        const ptrdiff_t pitch = whole ? o.pitch : amx::kTileBytes;
        amx::load_tile<6>(b, kPanel * kQuad);
        amx::load_tile<4>(a, pitch);
        amx::dot<0, 4, 6>();
        if (N == 2) {
            amx::load_tile<7>(b + o.stride, kPanel * kQuad);
            amx::dot<1, 4, 7>();
        }
        if (M == 2) {
            amx::load_tile<5>(a + o.upper * pitch, pitch);
            amx::dot<2, 5, 6>();
            if (N == 2) amx::dot<3, 5, 7>();
        }
        for (int i = 0; i < o.ahead_lines; ++i, ahead += 64) _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T0);
        between();
    }
}

template <int M, int N>
inline void store(int32_t* out, ptrdiff_t pitch, int upper) {
    int32_t* below = reinterpret_cast<int32_t*>(reinterpret_cast<std::byte*>(out) + upper * pitch);
    amx::store_tile<0>(out, pitch);
    if (N == 2) amx::store_tile<1>(out + kPanel, pitch);
    if (M == 2) amx::store_tile<2>(below, pitch);
    if (M == 2 && N == 2) amx::store_tile<3>(below + kPanel, pitch);
}

// The columns after the last whole step, with zeros behind them. So what lies behind a panel's weights does not count.
void copy_rest(const Gemm& g, int row, int rows, int whole, uint8_t* rest) {
    const int bytes = (g.quads - whole * amx::kTileQuads) * kQuad;
    const __mmask64 mask = ~uint64_t{0} >> (64 - bytes);
    const uint8_t* a = g.a + row * g.a_pitch + whole * amx::kTileBytes;
    for (int r = 0; r < rows; ++r, a += g.a_pitch, rest += amx::kTileBytes)
        _mm512_storeu_si512(rest, _mm512_maskz_loadu_epi8(mask, a));
}

template <int M, int N>
void block(const Gemm& g, const Operands& o, const Division& d, int row, int done, int panel, int32_t* acc, Waiting& waiting) {
    const int share = (ceil_div(waiting.end - waiting.next, o.steps) + 1) & ~1;
    accumulate<M, N>(o, [&] { waiting.advance(g.end, share); });
    if (g.end.bits == 32) {
        auto* out = reinterpret_cast<int32_t*>(static_cast<std::byte*>(g.end.out) + row * g.end.out_pitch) + panel * kPanel;
        store<M, N>(out, g.end.out_pitch, d.upper);
        return;
    }
    store<M, N>(acc, N * kPanel * sizeof(int32_t), d.upper);
    waiting = {acc, row, done, d.height, panel * kPanel, N};
}

void gemm(const Gemm& g) {
    const Division d(g.rows);
    configure(d);
    alignas(64) int32_t acc[2][kBlockRows * kBlockPanels * kPanel];
    alignas(64) uint8_t rest[kBandRows * amx::kTileBytes];
    Waiting waiting;
    const size_t stride = size_t(g.quads) * kPanel * kQuad;
    const int steps = ceil_div(g.quads, amx::kTileQuads), whole = g.quads / amx::kTileQuads;
    const int band = std::min(d.blocks, std::max(1, kBandRows / d.height));
    auto* unpacked = reinterpret_cast<int8_t*>(g.scratch);
    int turn = 0;
    for (int first = 0; first < d.blocks; first += band) {
        const int last = std::min(first + band, d.blocks);
        const int top = std::min(first * d.height, g.rows - d.height);
        if (whole < steps) copy_rest(g, top, std::min(last * d.height, g.rows) - top, whole, rest);
        for (int panel = 0; panel < g.panels; panel += kBlockPanels) {
            const int width = std::min(kBlockPanels, g.panels - panel);
            const int8_t* b = g.b + panel * stride;
            if (g.nibbles) {
                unpack_nibbles(reinterpret_cast<const uint8_t*>(g.b) + panel * stride / 2, g.quads * width, unpacked);
                b = unpacked;
            }
            for (int i = first; i < last; ++i) {
                const int row = std::min(i * d.height, g.rows - d.height);
                Operands o{g.a + row * g.a_pitch, rest + (row - top) * amx::kTileBytes, b, g.bias + panel * kPanel, stride, g.a_pitch,
                           steps, whole, d.upper, nullptr, 0};
                if (!g.nibbles && panel + width < g.panels) {
                    const int lines = ceil_div(2 * g.quads, last - first);
                    o.ahead = b + width * stride + (i - first) * lines * 64;
                    o.ahead_lines = ceil_div(lines, steps);
                }
                int32_t* to = acc[turn ^= 1];
                const int done = i * d.height - row;
                if (width == 2 && d.lower)
                    block<2, 2>(g, o, d, row, done, panel, to, waiting);
                else if (width == 2)
                    block<1, 2>(g, o, d, row, done, panel, to, waiting);
                else if (d.lower)
                    block<2, 1>(g, o, d, row, done, panel, to, waiting);
                else
                    block<1, 1>(g, o, d, row, done, panel, to, waiting);
            }
        }
    }
    amx::release();
    waiting.advance(g.end, kBlockRows);
}

int64_t probe() {
    constexpr int kTurns = 20000;
    configure(Division(kBlockRows));
    for (int turn = 0; turn < kTurns; ++turn) {
        amx::dot<0, 4, 6>();
        amx::dot<1, 4, 7>();
        amx::dot<2, 5, 6>();
        amx::dot<3, 5, 7>();
    }
    amx::release();
    return int64_t{kTurns} * 4 * amx::kTileRows * kPanel * amx::kTileBytes;
}

constexpr Kernels table{"amx", gemm, avx512::layernorm, avx512::softmax, avx512::quotient, rotary_row, multiply_row, probe};
}   // namespace

const Kernels* kernels_amx() { return &table; }

}   // namespace p2vit
