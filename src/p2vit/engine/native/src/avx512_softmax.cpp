// Softmax a row at a time, in 16- and 32-bit lanes.
#include <initializer_list>

#include "avx512_lanes.h"
#include "avx512_rows.h"
#include "softmax.h"

namespace p2vit::avx512 {

// Octaves are the high half of a 16-bit product with twice the factor; the table fills four registers.
static_assert(kOctaveFactorFraction + 1 == 16 && 2 * kOctaveFactor <= UINT16_MAX);
static_assert(kDistanceBits == 16 && kExp2Bits == 7 && kOctaveFraction >= kExp2Bits);
static_assert(kLargestLinearCode == 255, "narrowing saturates where the codes do");

uint32_t softmax(const SoftmaxRow& p) {
    const int n = p.count;
    __m512i top = _mm512_set1_epi32(INT32_MIN);
    for (int c = 0; c < n; c += 16) {
        const __mmask16 mask = tail16(n - c);
        top = _mm512_mask_max_epi32(top, mask, top, _mm512_maskz_loadu_epi32(mask, p.scores + c));
    }
    top = _mm512_set1_epi32(_mm512_reduce_max_epi32(top));
    const int right = p.shift > 0 ? p.shift : 0, left = p.shift < 0 ? -p.shift : 0;
    const __m128i right_count = _mm_cvtsi32_si128(right), left_count = _mm_cvtsi32_si128(std::min(left, kDistanceBits));
    const __m512i rounded_top = _mm512_add_epi32(top, _mm512_set1_epi32((1 << right) >> 1));
    // Before a left shift the distance is clamped to the largest one that matters, so that the result is below 2^31.
    const __m512i cut = _mm512_set1_epi32(left >= kDistanceBits ? 1 : int(kLargestDistance));
    auto distance = [&](const int32_t* s) {
        const __m512i d = _mm512_sub_epi32(rounded_top, _mm512_loadu_si512(s));
        return left ? _mm512_sll_epi32(_mm512_min_epu32(d, cut), left_count) : _mm512_srl_epi32(d, right_count);
    };
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), log2_e = _mm512_set1_epi16(int16_t(2 * kOctaveFactor));
    const __m512i t0 = _mm512_loadu_si512(kExp2Table), t1 = _mm512_loadu_si512(kExp2Table + 32);
    const __m512i t2 = _mm512_loadu_si512(kExp2Table + 64), t3 = _mm512_loadu_si512(kExp2Table + 96);
    const __m512i zero = _mm512_setzero_si512();
    __m512i sum = zero, sum_low = zero;
    const Log2Weights weights = log2_weights(p.guard);
    const __m256i high = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(weights.high)));
    const __m256i low = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(weights.low)));
    const int padded = int(round_up(n, 64));
    for (int c = 0; c < padded; c += 32) {
        if (c >= n) {
            for (uint8_t* out : {p.codes, p.high, p.low})
                if (out) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + c), _mm256_setzero_si256());
            continue;
        }
        const __mmask32 mask = tail32(n - c);
        const __m512i z =
            _mm512_permutexvar_epi64(order, _mm512_packus_epi32(distance(p.scores + c), distance(p.scores + c + 16)));
        const __m512i u = _mm512_mulhi_epu16(z, log2_e);
        if (p.log2) {
            const __m512i rounded = _mm512_srli_epi16(_mm512_add_epi16(u, _mm512_set1_epi16(kHalfOctave)), kOctaveFraction);
            const __m256i code =
                _mm256_maskz_mov_epi8(mask, _mm512_cvtepi16_epi8(_mm512_min_epu16(rounded, _mm512_set1_epi16(kLargestLog2Code))));
            const __m256i h = _mm256_maskz_shuffle_epi8(mask, high, code),
                          l = _mm256_maskz_shuffle_epi8(mask, low, code);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(p.codes + c), code);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(p.high + c), h);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(p.low + c), l);
            sum = _mm512_add_epi64(sum, _mm512_zextsi256_si512(_mm256_sad_epu8(h, _mm256_setzero_si256())));
            sum_low = _mm512_add_epi64(sum_low, _mm512_zextsi256_si512(_mm256_sad_epu8(l, _mm256_setzero_si256())));
        } else {
            const __m512i index = _mm512_srli_epi16(u, kOctaveFraction - kExp2Bits);
            const __mmask32 upper = _mm512_test_epi16_mask(index, _mm512_set1_epi16(64));
            const __m512i mantissa = _mm512_mask_blend_epi16(upper, _mm512_permutex2var_epi16(t0, index, t1),
                                                             _mm512_permutex2var_epi16(t2, index, t3));
            const __m512i shift = _mm512_add_epi16(_mm512_srli_epi16(u, kOctaveFraction), _mm512_set1_epi16(kExp2Shift - 1));
            // avg(x, 0) = (x + 1) >> 1 rounds the last bit of the shift.
            const __m512i wide = _mm512_avg_epu16(_mm512_srlv_epi16(mantissa, shift), zero);
            const __m256i code = _mm512_maskz_cvtusepi16_epi8(mask, wide);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(p.codes + c), code);
            sum = _mm512_add_epi64(sum, _mm512_zextsi256_si512(_mm256_sad_epu8(code, _mm256_setzero_si256())));
        }
    }
    const auto total = uint32_t(_mm512_reduce_add_epi64(sum));
    return p.log2 ? total * 256u + uint32_t(_mm512_reduce_add_epi64(sum_low)) : total;
}

}   // namespace p2vit::avx512
