// 128-bit Arm kernels, compiled once for each way to multiply bytes: the dot product of Armv8.2 (SDOT), and the 8-bit
// matrix product of Armv8.6 (USMMLA, two rows by two columns).
#include <arm_neon.h>

#include <algorithm>
#include <cstring>

#include "attention_values.h"
#include "elementwise.h"
#include "kernels.h"
#include "layernorm.h"
#include "linear.h"
#include "softmax.h"

namespace p2vit {
namespace {

// Applies the epilogue to 16 accumulators in four registers; rare forms use the portable code.
inline void finish_vectors(const Epilogue& e, int row, int column, const int32x4_t* acc) {
    std::byte* out = static_cast<std::byte*>(e.out) + row * e.out_pitch;
    if (e.bits == 32) {
        for (int j = 0; j < 4; ++j) vst1q_s32(reinterpret_cast<int32_t*>(out) + column + 4 * j, acc[j]);
        return;
    }
    if (e.residual && !(e.plain && e.residual_wide && e.bits == 16 && e.out_bits == 16)) {
        int32_t result[kPanel];
        for (int j = 0; j < 4; ++j) vst1q_s32(result + 4 * j, acc[j]);
        return finish_row(e, row, column, result);
    }
    int32x4_t v[4];   // a negative left shift is an arithmetic right shift
    for (int j = 0; j < 4; ++j) v[j] = vshlq_s32(acc[j], vnegq_s32(vld1q_s32(e.shift + column + 4 * j)));
    int16x8_t words[2];
    for (int j = 0; j < 2; ++j) words[j] = vqmovn_high_s32(vqmovn_s32(v[2 * j]), v[2 * j + 1]);
    if (e.out_bits == 16) {
        if (e.residual) {
            const std::byte* from = static_cast<const std::byte*>(e.residual) + row * e.residual_pitch + column * 2;
            for (int j = 0; j < 2; ++j)
                words[j] = vqaddq_s16(words[j], vld1q_s16(reinterpret_cast<const int16_t*>(from) + 8 * j));
        }
        for (int j = 0; j < 2; ++j) vst1q_s16(reinterpret_cast<int16_t*>(out) + column + 8 * j, words[j]);
        return;
    }
    const int8x16_t packed = vqmovn_high_s16(vqmovn_s16(words[0]), words[1]);
    const uint8x16_t biased = veorq_u8(vreinterpretq_u8_s8(packed), vdupq_n_u8(128));
    auto* to = reinterpret_cast<uint8_t*>(out) + column;
    if (!e.table) return vst1q_u8(to, biased);
    uint8_t bytes[kPanel];
    vst1q_u8(bytes, biased);
    const uint8_t* table = e.table_of(column);
    for (int c = 0; c < kPanel; ++c) to[c] = table[bytes[c]];
}

#if defined(P2VIT_I8MM)
#define P2VIT_SET kernels_i8mm
#define P2VIT_NAME "i8mm"
constexpr int kRows = 4;

// Loads eight bytes of a row, or four bytes and zeros at the last of an odd number of quads.
inline uint8x8_t load_k(const uint8_t* a, bool pair) {
    if (pair) return vld1_u8(a);
    uint32_t four;
    std::memcpy(&four, a, sizeof four);
    return vcreate_u8(four);
}

// R rows × one panel. A register holds two rows × two columns, so rows go in
// pairs; a single last row is paired with itself.
template <int R>
void tile(const Gemm& g, const int8_t* b, const int32_t* start, int row, int panel) {
    constexpr int kPairs = (R + 1) / 2;
    const uint8_t* a = g.a + row * g.a_pitch;
    int32x4_t acc[kPairs][8];
    for (int p = 0; p < kPairs; ++p)
        for (int m = 0; m < 8; ++m) acc[p][m] = vcombine_s32(vld1_s32(start + 2 * m), vld1_s32(start + 2 * m));
    for (int q = 0; q < g.quads; q += 2) {
        const bool pair = q + 1 < g.quads;
        uint8x16_t x[kPairs];
        for (int p = 0; p < kPairs; ++p)
            x[p] = vcombine_u8(load_k(a + 2 * p * g.a_pitch + 4 * q, pair),
                               load_k(a + std::min(2 * p + 1, R - 1) * g.a_pitch + 4 * q, pair));
        const int8_t* w = b + q * kPanel * kQuad;
        for (int j = 0; j < 4; ++j) {
            const int32x4_t w0 = vreinterpretq_s32_s8(vld1q_s8(w + 16 * j));
            const int32x4_t w1 =
                pair ? vreinterpretq_s32_s8(vld1q_s8(w + kPanel * kQuad + 16 * j)) : vdupq_n_s32(0);
            const int8x16_t left = vreinterpretq_s8_s32(vzip1q_s32(w0, w1));   // eight weights of two columns
            const int8x16_t right = vreinterpretq_s8_s32(vzip2q_s32(w0, w1));
            for (int p = 0; p < kPairs; ++p) {
                acc[p][2 * j] = vusmmlaq_s32(acc[p][2 * j], x[p], left);
                acc[p][2 * j + 1] = vusmmlaq_s32(acc[p][2 * j + 1], x[p], right);
            }
        }
    }
    for (int i = 0; i < R; ++i) {
        int32x4_t result[4];
        for (int j = 0; j < 4; ++j) {
            const int32x4_t left = acc[i / 2][2 * j], right = acc[i / 2][2 * j + 1];
            result[j] = i % 2 ? vcombine_s32(vget_high_s32(left), vget_high_s32(right))
                              : vcombine_s32(vget_low_s32(left), vget_low_s32(right));
        }
        finish_vectors(g.end, row + i, panel * kPanel, result);
    }
}

inline const int32_t* start_of(const Gemm& g, const int8_t*, int panel, int32_t*) { return g.bias + panel * kPanel; }

int64_t probe() {
    constexpr int kCount = 16, kTurns = 10000;
    const uint8x16_t x = vdupq_n_u8(3);
    const int8x16_t w = vdupq_n_s8(5);
    int32x4_t acc[kCount] = {};
    for (int turn = 0; turn < kTurns; ++turn)
        for (auto& a : acc) {
            a = vusmmlaq_s32(a, x, w);
            asm volatile("" : "+w"(a));
        }
    return int64_t{kTurns} * kCount * 32;
}
#else
#define P2VIT_SET kernels_dotprod
#define P2VIT_NAME "dotprod"
constexpr int kRows = 6;

// R rows × one panel. The instruction takes signed bytes, so 128 is subtracted from the stored activations.
template <int R>
void tile(const Gemm& g, const int8_t* b, const int32_t* start, int row, int panel) {
    const uint8_t* a = g.a + row * g.a_pitch;
    int32x4_t acc[R][4];
    for (int i = 0; i < R; ++i)
        for (int j = 0; j < 4; ++j) acc[i][j] = vld1q_s32(start + 4 * j);
    for (int q = 0; q < g.quads; ++q) {
        int8x16_t w[4];
        for (int j = 0; j < 4; ++j) w[j] = vld1q_s8(b + q * kPanel * kQuad + 16 * j);
        for (int i = 0; i < R; ++i) {
            uint32_t four;
            std::memcpy(&four, a + i * g.a_pitch + 4 * q, sizeof four);
            const int8x16_t x = vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080u));
            for (int j = 0; j < 4; ++j) acc[i][j] = vdotq_s32(acc[i][j], w[j], x);
        }
    }
    for (int i = 0; i < R; ++i) finish_vectors(g.end, row + i, panel * kPanel, acc[i]);
}

// The bias plus 128 · Σw, modulo 2^32: it makes up for the 128 subtracted from the activations.
inline const int32_t* start_of(const Gemm& g, const int8_t* b, int panel, int32_t* room) {
    for (int j = 0; j < 4; ++j) {
        int32x4_t sum = vdupq_n_s32(0);
        for (int q = 0; q < g.quads; ++q) sum = vdotq_s32(sum, vld1q_s8(b + q * kPanel * kQuad + 16 * j), vdupq_n_s8(1));
        vst1q_s32(room + 4 * j, vaddq_s32(vld1q_s32(g.bias + panel * kPanel + 4 * j), vshlq_n_s32(sum, 7)));
    }
    return room;
}

int64_t probe() {
    constexpr int kCount = 16, kTurns = 10000;
    const int8x16_t x = vdupq_n_s8(3), w = vdupq_n_s8(5);
    int32x4_t acc[kCount] = {};
    for (int turn = 0; turn < kTurns; ++turn)
        for (auto& a : acc) {
            a = vdotq_s32(a, x, w);
            asm volatile("" : "+w"(a));
        }
    return int64_t{kTurns} * kCount * 16;
}
#endif

#include "panels.inc"
}   // namespace

const Kernels* P2VIT_SET() { return &table; }

}   // namespace p2vit
