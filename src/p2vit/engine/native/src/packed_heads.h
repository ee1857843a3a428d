// Packing of keys and values for attention: like weights, head by head.
#pragma once

#include <algorithm>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "steps.h"

namespace p2vit {
namespace {

struct Shape {
    int heads, dim, keys;

    int key_panels() const { return ceil_div(keys, kPanel); }
    int dim_quads() const { return ceil_div(dim, kQuad); }
    int dim_panels() const { return ceil_div(dim, kPanel); }
    int key_quads() const { return ceil_div(keys, kQuad); }
    // Bytes of one head: the packed keys, and −128 · Σk of each key, which removes the bias of the queries.
    size_t key_bytes() const { return size_t(key_panels()) * dim_quads() * 64; }
    size_t key_sums() const { return size_t(key_panels()) * kPanel; }
    size_t head_keys() const { return key_bytes() + key_sums() * sizeof(int32_t); }
    size_t head_values() const { return size_t(dim_panels()) * key_quads() * 64; }
};

// Packs up to four keys of one head. They are neighbours in a panel, because m is a multiple of four.
inline void pack_key_quad(const Shape& shape, std::byte* head, int m, int rows, const uint8_t* const source[kQuad]) {
    auto* out = reinterpret_cast<uint32_t*>(head + size_t(m / kPanel) * shape.dim_quads() * 64) + m % kPanel;
    auto* sums = reinterpret_cast<int32_t*>(head + shape.key_bytes()) + m;
    int d = 0, sum[kQuad] = {};
#if defined(__SSE2__)
    if (rows == kQuad) {
        const __m128i sign = _mm_set1_epi8(-128), zero = _mm_setzero_si128();
        __m128i total[kQuad] = {};
        for (; d + 16 <= shape.dim; d += 16) {   // four quads of four keys: a transpose of 4 × 4 words
            __m128i r[kQuad];
            for (int i = 0; i < kQuad; ++i) {
                r[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source[i] + d));
                total[i] = _mm_add_epi32(total[i], _mm_sad_epu8(r[i], zero));
                r[i] = _mm_xor_si128(r[i], sign);
            }
            const __m128i lo01 = _mm_unpacklo_epi32(r[0], r[1]), hi01 = _mm_unpackhi_epi32(r[0], r[1]);
            const __m128i lo23 = _mm_unpacklo_epi32(r[2], r[3]), hi23 = _mm_unpackhi_epi32(r[2], r[3]);
            uint32_t* to = out + d / kQuad * kPanel;
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_unpacklo_epi64(lo01, lo23));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to + kPanel), _mm_unpackhi_epi64(lo01, lo23));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 2 * kPanel), _mm_unpacklo_epi64(hi01, hi23));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 3 * kPanel), _mm_unpackhi_epi64(hi01, hi23));
        }
        for (int i = 0; i < kQuad; ++i)
            sum[i] = _mm_cvtsi128_si32(total[i]) + _mm_cvtsi128_si32(_mm_srli_si128(total[i], 8));
    }
#endif
    for (int i = 0; i < rows; ++i) {
        for (int q = d; q < shape.dim; q += kQuad) {
            uint8_t quad[kQuad] = {};   // zeros, because the next head follows the last channel
            for (int k = q; k < std::min(q + kQuad, shape.dim); ++k) {
                quad[k - q] = source[i][k] ^ 0x80;
                sum[i] += source[i][k];
            }
            std::memcpy(out + q / kQuad * kPanel + i, quad, sizeof quad);
        }
        sums[i] = -128 * (sum[i] - 128 * shape.dim);
    }
}

// Interleaves four rows of up to 16 channels to 16 groups of four.
inline void interleave(const uint8_t* const rows[kQuad], int d, int count, uint8_t* out) {
#if defined(__SSE2__)
    if (count == kPanel) {
        const __m128i sign = _mm_set1_epi8(-128);
        __m128i r[kQuad];
        for (int i = 0; i < kQuad; ++i)
            r[i] = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[i] + d)), sign);
        const __m128i lo01 = _mm_unpacklo_epi8(r[0], r[1]), hi01 = _mm_unpackhi_epi8(r[0], r[1]);
        const __m128i lo23 = _mm_unpacklo_epi8(r[2], r[3]), hi23 = _mm_unpackhi_epi8(r[2], r[3]);
        auto* to = reinterpret_cast<__m128i*>(out);
        _mm_storeu_si128(to, _mm_unpacklo_epi16(lo01, lo23));
        _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(lo01, lo23));
        _mm_storeu_si128(to + 2, _mm_unpacklo_epi16(hi01, hi23));
        _mm_storeu_si128(to + 3, _mm_unpackhi_epi16(hi01, hi23));
        return;
    }
#endif
    for (int c = 0; c < count; ++c)
        for (int i = 0; i < kQuad; ++i) out[c * kQuad + i] = rows[i][d + c] ^ 0x80;
}

inline Shape checked(int heads, int dim, int keys) {
    require(heads >= 1 && heads <= 1024 && dim >= 1 && dim <= 4096 && keys >= 1 && keys <= 32767,
            "attention of 1..1024 heads, 1..4096 channels, 1..32767 keys");
    return {heads, dim, keys};
}

inline void require_rows(const Buffer& b, int column, const Shape& shape, const char* message) {
    require(b.kind == Kind::biased8 && column >= 0 && column + shape.heads * shape.dim <= b.columns, message);
}

}   // namespace
}   // namespace p2vit
