// The division after codes × values, a row at a time, in 32-bit lanes.
#include "attention_values.h"
#include "avx512_lanes.h"
#include "avx512_rows.h"

namespace p2vit::avx512 {

void quotient(const QuotientRow& p) {
    const Reciprocal r = reciprocal(p.total);
    if (r.shift < 0) return portable_quotient(p);
    const __m512i half = _mm512_set1_epi32((1 << r.shift) >> 1), factor = _mm512_set1_epi32(r.factor);
    const __m512i one = _mm512_set1_epi32(1);
    const __m128i count = _mm_cvtsi32_si128(r.shift);
    for (int c = 0; c < p.channels; c += 16) {
        __m512i acc = _mm512_loadu_si512(p.accumulator + c);
        if (p.low) acc = _mm512_add_epi32(_mm512_slli_epi32(acc, 8), _mm512_loadu_si512(p.low + c));
        const __m512i reduced = _mm512_sra_epi32(_mm512_add_epi32(acc, half), count);
        const __m512i product = _mm512_mullo_epi32(reduced, factor);
        const __m512i s = _mm512_loadu_si512(p.shift + c);
        const __m512i rounding = _mm512_srli_epi32(_mm512_sllv_epi32(one, s), 1);
        const __m512i value = _mm512_srav_epi32(_mm512_add_epi32(product, rounding), s);
        const __mmask16 mask = tail16(p.channels - c);
        if (p.out_bits == 8) {
            const __m128i bytes = _mm_xor_si128(_mm512_cvtsepi32_epi8(value), _mm_set1_epi8(-128));
            _mm_mask_storeu_epi8(static_cast<uint8_t*>(p.out) + c, mask, bytes);
        } else {
            _mm256_mask_storeu_epi16(static_cast<int16_t*>(p.out) + c, mask, _mm512_cvtsepi32_epi16(value));
        }
    }
}

}   // namespace p2vit::avx512
