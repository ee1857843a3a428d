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

constexpr int kBlockRows = 2 * amx::kTileRows;
constexpr int kBlockInts = kBlockRows * 2 * kPanel;
constexpr int kBandRows = 256;   // largest number of rows that go through all columns together
constexpr int kStepBytes = amx::kTileQuads * kPanel * kQuad;   // of the weights of one panel

// How the rows are divided: blocks of the same height, the last of which may overlap the one before it, each in an upper
// and a lower tile. So one configuration of the tiles serves the whole product. Up to 16 rows are a block of one tile.
struct Division {
    int blocks, height, upper, lower;

    explicit Division(int rows) : blocks(ceil_div(rows, kBlockRows)), height(ceil_div(rows, blocks)) {
        upper = height <= amx::kTileRows ? height : (height + 1) / 2;
        lower = height - upper;
    }
};

// The tile configuration of this thread. It is kept until release(), because to configure takes as long as a dozen
// products of tiles. Other libraries of the process use tiles too: what they had configured is then restored.
struct Configuration {
    int upper = 0, lower = 0;   // rows of the tiles; 0: not configured
    amx::TileConfig theirs;
};
thread_local Configuration configuration;

void configure(const Division& d) {
    Configuration& now = configuration;
    if (d.upper == now.upper && d.lower == now.lower) return;
    if (!now.upper) amx::store_config(now.theirs);
    amx::TileConfig config;
    for (int t = 0; t < amx::kTiles; ++t) {
        config.row_bytes[t] = amx::kTileBytes;
        config.rows[t] = amx::kTileQuads;
    }
    for (int t : {0, 1, 4}) config.rows[t] = uint8_t(d.upper);
    for (int t : {2, 3, 5})
        if (d.lower) config.rows[t] = uint8_t(d.lower);
    amx::load_config(config);
    now.upper = d.upper;
    now.lower = d.lower;
}

void release() {
    Configuration& now = configuration;
    if (!now.upper) return;
    if (now.theirs.palette)
        amx::load_config(now.theirs);
    else
        amx::release();
    now.upper = now.lower = 0;
}

// Two rows of 32 columns, re-quantized to bytes and perhaps looked up.
inline void finish_pair(const Epilogue& e, int row, int column, const int32_t* upper, const int32_t* lower) {
    const __m512i first = load(e.shift + column), second = load(e.shift + column + kPanel);
    const __m512i value[4] = {
        _mm512_srav_epi32(load(upper), first), _mm512_srav_epi32(load(upper + kPanel), second),
        _mm512_srav_epi32(load(lower), first), _mm512_srav_epi32(load(lower + kPanel), second)};
    __m512i bytes = narrow8<4>(value);
    if (e.table) bytes = lookup(e.table_of(column), bytes);
    std::byte* out = static_cast<std::byte*>(e.out) + row * e.out_pitch + column;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(bytes));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + e.out_pitch), _mm512_extracti64x4_epi64(bytes, 1));
}

// Accumulators of a block that wait for their epilogue: [rows][panels · kPanel].
struct Waiting {
    const int32_t* acc = nullptr;
    int row = 0;               // of the product, of the first one
    int first = 0, last = 0;   // those that do not belong to the block before as well
    int panel = 0, panels = 0;

    void finish(const Epilogue& e) const {
        int j = 0;
        for (; j + 1 < panels; j += 2) finish_panels<2>(e, j);
        if (j < panels) finish_panels<1>(e, j);
    }

    template <int W>
    void finish_panels(const Epilogue& e, int j) const {
        const int column = (panel + j) * kPanel, pitch = panels * kPanel;
        const int32_t* from = acc + first * pitch + j * kPanel;
        int r = first;
        if (W == 2 && e.bits == 8 && !e.residual)
            for (; r + 1 < last; r += 2, from += 2 * pitch) finish_pair(e, row + r, column, from, from + pitch);
        for (; r < last; ++r, from += pitch) {
            __m512i values[W];
            for (int i = 0; i < W; ++i) values[i] = load(from + i * kPanel);
            finish_row<W>(e, row + r, column, values);
        }
    }
};

// Operands of one block.
struct Operands {
    const uint8_t* a;      // first row of the block
    const uint8_t* rest;   // the columns after the last whole step, and zeros: [rows][kTileBytes]
    ptrdiff_t pitch;
    const int8_t* b;      // first panel
    size_t stride;        // of the panels
    int steps, whole;     // those before `whole` read a, the others rest
    int upper;            // rows of the upper tiles
    const int8_t* ahead;  // weights of the next columns, or null
    size_t ahead_stride;  // of its panels
    int ahead_lines;      // of each panel, per step
};

// A step of K: where its columns of the rows are.
struct Step {
    const uint8_t* a;
    ptrdiff_t pitch;

    Step(const Operands& o, int k)
        : a(k < o.whole ? o.a + k * amx::kTileBytes : o.rest), pitch(k < o.whole ? o.pitch : amx::kTileBytes) {}
};

template <int N>
inline void prefetch(const Operands& o, int k) {
    const int8_t* ahead = o.ahead + k * o.ahead_lines * 64;
    for (int i = 0; i < o.ahead_lines; ++i, ahead += 64)
        for (int j = 0; j < N; ++j) _mm_prefetch(reinterpret_cast<const char*>(ahead + j * o.ahead_stride), _MM_HINT_T1);
}

// Every row begins with the bias. It begins at a cache line, otherwise each row of these tiles takes two loads.
template <int M, int N>
inline void compute(const Operands& o, const int32_t* bias) {
    amx::load_tile<0>(bias, 0);
    if (N == 2) amx::load_tile<1>(bias + kPanel, 0);
    if (M == 2) amx::load_tile<2>(bias, 0);
    if (M == 2 && N == 2) amx::load_tile<3>(bias + kPanel, 0);
    const int8_t* b = o.b;
    for (int k = 0; k < o.steps; ++k, b += kStepBytes) {
        const Step step(o, k);
        amx::load_tile<6>(b, kPanel * kQuad);
        amx::load_tile<4>(step.a, step.pitch);
        amx::dot<0, 4, 6>();
        if (N == 2) {
            amx::load_tile<7>(b + o.stride, kPanel * kQuad);
            amx::dot<1, 4, 7>();
        }
        if (M == 2) {
            amx::load_tile<5>(step.a + o.upper * step.pitch, step.pitch);
            amx::dot<2, 5, 6>();
            if (N == 2) amx::dot<3, 5, 7>();
        }
        prefetch<N>(o, k);
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

class Product {
  public:
    explicit Product(const Gemm& g) : g_(g), d_(g.rows), stride_(size_t(g.quads) * kPanel * kQuad) {}

    void run() {
        configure(d_);
        const int band = std::max(1, kBandRows / d_.height);
        for (first_ = 0; first_ < d_.blocks; first_ += band) {
            last_ = std::min(first_ + band, d_.blocks);
            if (whole_ < steps_) copy_rest(g_, row_of(first_), row_of(last_ - 1) + d_.height - row_of(first_), whole_, rest_);
            int panel = 0;
            for (; panel + 1 < g_.panels; panel += 2) d_.lower ? columns<2, 2>(panel) : columns<1, 2>(panel);
            if (panel < g_.panels) d_.lower ? columns<2, 1>(panel) : columns<1, 1>(panel);
        }
        waiting_.finish(g_.end);
    }

  private:
    int row_of(int block) const { return std::min(block * d_.height, g_.rows - d_.height); }

    // N panels of all rows of the band.
    template <int M, int N>
    void columns(int panel) {
        const int8_t* b = g_.b + panel * stride_;
        if (g_.nibbles) {
            auto* unpacked = reinterpret_cast<int8_t*>(g_.scratch);
            unpack_nibbles(reinterpret_cast<const uint8_t*>(g_.b) + panel * stride_ / 2, g_.quads * N, unpacked);
            b = unpacked;
        }
        Operands o{nullptr, nullptr, g_.a_pitch, b, stride_, steps_, whole_, d_.upper, nullptr, 0, 0};
        if (!g_.nibbles && g_.end.bits != 32 && panel + 2 * N <= g_.panels) {
            o.ahead = b + N * stride_;
            o.ahead_stride = stride_;
            o.ahead_lines = ceil_div(amx::kTileQuads, last_ - first_);
        }
        for (int block = first_; block < last_; ++block) {
            const int row = row_of(block);
            o.a = g_.a + row * g_.a_pitch;
            o.rest = rest_ + (row - row_of(first_)) * amx::kTileBytes;
            compute<M, N>(o, g_.bias + panel * kPanel);
            o.ahead += steps_ * o.ahead_lines * 64;
            complete<M, N>(block, row, panel);
        }
    }

    // Stores a block's accumulators. The epilogue of the block before comes first: the tiles are still being computed.
    template <int M, int N>
    void complete(int block, int row, int panel) {
        if (g_.end.bits == 32) {
            auto* out = reinterpret_cast<int32_t*>(static_cast<std::byte*>(g_.end.out) + row * g_.end.out_pitch);
            return store<M, N>(out + panel * kPanel, g_.end.out_pitch, d_.upper);
        }
        waiting_.finish(g_.end);
        int32_t* acc = acc_[turn_ ^= 1];
        store<M, N>(acc, N * kPanel * sizeof(int32_t), d_.upper);
        waiting_ = {acc, row, block * d_.height - row, d_.height, panel, N};
    }

    const Gemm& g_;
    const Division d_;
    const size_t stride_;   // of the panels
    const int steps_ = ceil_div(g_.quads, amx::kTileQuads), whole_ = g_.quads / amx::kTileQuads;
    int first_ = 0, last_ = 0;   // blocks of the band
    int turn_ = 0;
    Waiting waiting_;
    alignas(64) int32_t acc_[2][kBlockInts];
    alignas(64) uint8_t rest_[kBandRows * amx::kTileBytes];
};

void gemm(const Gemm& g) { Product(g).run(); }

int64_t probe() {
    constexpr int kTurns = 20000;
    configure(Division(kBlockRows));
    for (int turn = 0; turn < kTurns; ++turn) {
        amx::dot<0, 4, 6>();
        amx::dot<1, 4, 7>();
        amx::dot<2, 5, 6>();
        amx::dot<3, 5, 7>();
    }
    release();
    return int64_t{kTurns} * 4 * amx::kTileRows * kPanel * amx::kTileBytes;
}

constexpr Kernels table{"amx", gemm, avx512::layernorm, avx512::softmax, avx512::quotient, rotary_row, multiply_row, probe, release, kLargestQueryRows};
}   // namespace

const Kernels* kernels_amx() { return &table; }

}   // namespace p2vit
