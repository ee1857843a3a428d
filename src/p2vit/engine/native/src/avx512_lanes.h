// Masks of a row's end and saturating stores, shared by the row-wise AVX-512 kernels.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace p2vit::avx512 {
namespace {

inline __mmask16 tail16(int left) { return left >= 16 ? 0xFFFF : __mmask16((1u << left) - 1); }
inline __mmask32 tail32(int left) { return left >= 32 ? ~0u : (1u << left) - 1; }

inline void store16(void* row, int bits, int c, __m512i value) {
    if (bits == 8) {
        const __m128i bytes = _mm_xor_si128(_mm512_cvtsepi32_epi8(value), _mm_set1_epi8(-128));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(static_cast<uint8_t*>(row) + c), bytes);
    } else {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(static_cast<int16_t*>(row) + c), _mm512_cvtsepi32_epi16(value));
    }
}

}   // namespace
}   // namespace p2vit::avx512
