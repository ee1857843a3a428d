// 256-bit kernels, compiled once for each way to multiply bytes: pmaddwd on widened bytes (AVX2; exact, where
// pmaddubsw would saturate), the VEX-coded VNNI of client CPUs, and the EVEX-coded one of CPUs with AVX-512.
#include <immintrin.h>

#include <algorithm>

#include "attention_values.h"
#include "elementwise.h"
#include "kernels.h"
#include "layernorm.h"
#include "linear.h"
#include "softmax.h"

#if defined(P2VIT_AVXVNNI)
#define P2VIT_SET kernels_avxvnni
#define P2VIT_NAME "avxvnni"
#elif defined(P2VIT_VNNI256)
#define P2VIT_SET kernels_vnni256
#define P2VIT_NAME "vnni256"
#else
#define P2VIT_SET kernels_avx2
#define P2VIT_NAME "avx2"
#endif

namespace p2vit {
namespace {

inline int load_quad(const uint8_t* a) {
    int value;
    __builtin_memcpy(&value, a, sizeof value);
    return value;
}

// Applies the epilogue to 16 accumulators in two registers; rare forms use the portable code.
inline void finish_vectors(const Epilogue& e, int row, int column, __m256i acc0, __m256i acc1) {
    const bool usual =
        e.bits != 32 && (!e.residual || (e.plain && e.residual_wide && e.bits == 16 && e.out_bits == 16));
    if (!usual) {
        alignas(32) int32_t result[kPanel];
        _mm256_store_si256(reinterpret_cast<__m256i*>(result), acc0);
        _mm256_store_si256(reinterpret_cast<__m256i*>(result + 8), acc1);
        return finish_row(e, row, column, result);
    }
    const auto* shift = reinterpret_cast<const __m256i*>(e.shift + column);
    const __m256i v0 = _mm256_srav_epi32(acc0, _mm256_loadu_si256(shift));
    const __m256i v1 = _mm256_srav_epi32(acc1, _mm256_loadu_si256(shift + 1));
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(v0, v1), 0xD8);
    std::byte* out = static_cast<std::byte*>(e.out) + row * e.out_pitch;
    if (e.out_bits == 16) {
        if (e.residual) {
            const auto* from = static_cast<const std::byte*>(e.residual) + row * e.residual_pitch + column * 2;
            words = _mm256_adds_epi16(words, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + column * 2), words);
        return;
    }
    const __m128i packed = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    alignas(16) uint8_t bytes[kPanel];
    _mm_store_si128(reinterpret_cast<__m128i*>(bytes), _mm_xor_si128(packed, _mm_set1_epi8(-128)));
    auto* to = reinterpret_cast<uint8_t*>(out) + column;
    if (e.table) {
        const uint8_t* table = e.table_of(column);
        for (int c = 0; c < kPanel; ++c) to[c] = table[bytes[c]];
    } else {
        __builtin_memcpy(to, bytes, kPanel);
    }
}

#if defined(P2VIT_AVXVNNI) || defined(P2VIT_VNNI256)
constexpr int kRows = 6;

inline __m256i dot(__m256i acc, __m256i x, __m256i w) {
#if defined(P2VIT_AVXVNNI)
    return _mm256_dpbusd_avx_epi32(acc, x, w);
#else
    return _mm256_dpbusd_epi32(acc, x, w);
#endif
}

// R rows × one panel, the accumulators in 2·R registers.
template <int R>
void tile(const Gemm& g, const int8_t* b, const int32_t* start, int row, int panel) {
    const uint8_t* a = g.a + row * g.a_pitch;
    __m256i acc[R][2];
    for (int i = 0; i < R; ++i)
        for (int j = 0; j < 2; ++j)
            acc[i][j] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start + 8 * j));
    for (int q = 0; q < g.quads; ++q) {
        const auto* w = reinterpret_cast<const __m256i*>(b + q * kPanel * kQuad);
        const __m256i w0 = _mm256_loadu_si256(w), w1 = _mm256_loadu_si256(w + 1);
        for (int i = 0; i < R; ++i) {
            const __m256i x = _mm256_set1_epi32(load_quad(a + i * g.a_pitch + 4 * q));
            acc[i][0] = dot(acc[i][0], x, w0);
            acc[i][1] = dot(acc[i][1], x, w1);
        }
    }
    for (int i = 0; i < R; ++i) finish_vectors(g.end, row + i, panel * kPanel, acc[i][0], acc[i][1]);
}
#else
constexpr int kRows = 3;

// R rows × one panel; each lane sums two of a column's four products, a horizontal add at the end joins them.
template <int R>
void tile(const Gemm& g, const int8_t* b, const int32_t* start, int row, int panel) {
    const uint8_t* a = g.a + row * g.a_pitch;
    __m256i acc[R][4];
    for (int i = 0; i < R; ++i)
        for (int j = 0; j < 4; ++j) acc[i][j] = _mm256_setzero_si256();
    for (int q = 0; q < g.quads; ++q) {
        const auto* w = reinterpret_cast<const __m128i*>(b + q * kPanel * kQuad);
        __m256i x[R];
        for (int i = 0; i < R; ++i)
            x[i] = _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128(load_quad(a + i * g.a_pitch + 4 * q))));
        for (int j = 0; j < 4; ++j) {
            const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(w + j));
            for (int i = 0; i < R; ++i) acc[i][j] = _mm256_add_epi32(acc[i][j], _mm256_madd_epi16(x[i], wide));
        }
    }
    const auto* bias = reinterpret_cast<const __m256i*>(start);
    for (int i = 0; i < R; ++i) {
        __m256i sum[2];
        for (int j = 0; j < 2; ++j) {
            const __m256i pairs = _mm256_hadd_epi32(acc[i][2 * j], acc[i][2 * j + 1]);   // columns 0 1 4 5 | 2 3 6 7
            sum[j] = _mm256_add_epi32(_mm256_permute4x64_epi64(pairs, 0xD8), _mm256_loadu_si256(bias + j));
        }
        finish_vectors(g.end, row + i, panel * kPanel, sum[0], sum[1]);
    }
}
#endif

inline const int32_t* start_of(const Gemm& g, const int8_t*, int panel, int32_t*) { return g.bias + panel * kPanel; }

#if defined(P2VIT_AVXVNNI) || defined(P2VIT_VNNI256)
int64_t probe() {
    constexpr int kCount = 12, kTurns = 10000;
    const __m256i x = _mm256_set1_epi8(3), w = _mm256_set1_epi8(5);
    __m256i acc[kCount] = {};
    for (int turn = 0; turn < kTurns; ++turn)
        for (auto& a : acc) {
            a = dot(a, x, w);
            asm volatile("" : "+x"(a));
        }
    return int64_t{kTurns} * kCount * 32;
}
#else
constexpr int64_t (*probe)() = nullptr;
#endif

#include "panels.inc"
}   // namespace

const Kernels* P2VIT_SET() { return &table; }

}   // namespace p2vit
