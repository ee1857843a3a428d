// The kernel set for every CPU: plain loops. Only the inner product on x86-64 uses SSE2 instructions, which every such
// CPU has and which compilers do not generate for it.
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

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

// Computes one row × one panel.
#if defined(__SSE2__)
inline void accumulate(const uint8_t* a, const int8_t* b, int quads, const int32_t* bias, int32_t* result) {
    // Each 32-bit lane sums two of a column's four products; neighbours are joined at the end.
    __m128i acc[8] = {};
    const __m128i zero = _mm_setzero_si128();
    for (int q = 0; q < quads; ++q) {
        int quad;
        std::memcpy(&quad, a + q * kQuad, sizeof quad);
        const __m128i half = _mm_unpacklo_epi8(_mm_cvtsi32_si128(quad), zero), x = _mm_unpacklo_epi64(half, half);
        const auto* w = reinterpret_cast<const __m128i*>(b + q * kPanel * kQuad);
        for (int j = 0; j < 4; ++j) {
            const __m128i bytes = _mm_loadu_si128(w + j);
            const __m128i low = _mm_srai_epi16(_mm_unpacklo_epi8(zero, bytes), 8);
            const __m128i high = _mm_srai_epi16(_mm_unpackhi_epi8(zero, bytes), 8);
            acc[2 * j] = _mm_add_epi32(acc[2 * j], _mm_madd_epi16(x, low));
            acc[2 * j + 1] = _mm_add_epi32(acc[2 * j + 1], _mm_madd_epi16(x, high));
        }
    }
    for (int c = 0; c < kPanel; ++c) {
        alignas(16) uint32_t lanes[4];
        _mm_store_si128(reinterpret_cast<__m128i*>(lanes), acc[c / 2]);
        result[c] = int32_t(uint32_t(bias[c]) + lanes[2 * (c % 2)] + lanes[2 * (c % 2) + 1]);
    }
}
#else
inline void accumulate(const uint8_t* a, const int8_t* b, int quads, const int32_t* bias, int32_t* result) {
    uint32_t acc[kPanel];
    for (int c = 0; c < kPanel; ++c) acc[c] = uint32_t(bias[c]);
    for (int q = 0; q < quads; ++q, a += kQuad, b += kPanel * kQuad)
        for (int c = 0; c < kPanel; ++c)
            acc[c] += uint32_t(a[0] * b[4 * c] + a[1] * b[4 * c + 1] + a[2] * b[4 * c + 2] + a[3] * b[4 * c + 3]);
    for (int c = 0; c < kPanel; ++c) result[c] = int32_t(acc[c]);
}
#endif

constexpr int kRows = 1;

template <int R>
void tile(const Gemm& g, const int8_t* b, const int32_t* start, int row, int panel) {
    static_assert(R == 1);
    int32_t result[kPanel];
    accumulate(g.a + row * g.a_pitch, b, g.quads, start, result);
    finish_row(g.end, row, panel * kPanel, result);
}

inline const int32_t* start_of(const Gemm& g, const int8_t*, int panel, int32_t*) { return g.bias + panel * kPanel; }

constexpr int64_t (*probe)() = nullptr;

#define P2VIT_NAME "scalar"
#include "panels.inc"
}   // namespace

const Kernels* kernels_scalar() { return &table; }

}   // namespace p2vit
