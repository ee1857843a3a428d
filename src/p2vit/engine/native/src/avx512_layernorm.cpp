// LayerNorm a row at a time, in 16- and 32-bit lanes.
#include "avx512_lanes.h"
#include "avx512_rows.h"
#include "layernorm.h"

namespace p2vit::avx512 {
namespace {

// A row of bytes, or one with shifts, as int16: shifted to the left and saturated. A shift of 15 saturates every number but
// 0 and −1 in 16 bits, and those two as any larger shift does.
inline void shift_row(const LayerNormRows& p, const void* x, int16_t* aligned) {
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), most = _mm512_set1_epi32(15);
    const __m512i top = _mm512_set1_epi16(int16_t((1 << (p.input_bits - 1)) - 1)), bottom = _mm512_sub_epi16(_mm512_set1_epi16(-1), top);
    auto shifted = [&](int c) {
        const __mmask16 mask = tail16(std::max(p.channels - c, 0));
        const __m512i a =
            p.wide ? _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, static_cast<const int16_t*>(x) + c))
                   : _mm512_sub_epi32(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, static_cast<const uint8_t*>(x) + c)),
                                      _mm512_set1_epi32(128));
        if (!p.input_shift) return a;
        const __m512i s = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, p.input_shift + c));
        return _mm512_sllv_epi32(a, _mm512_min_epi32(s, most));
    };
    for (int c = 0; c < p.channels; c += 32) {
        const __m512i a = _mm512_permutexvar_epi64(order, _mm512_packs_epi32(shifted(c), shifted(c + 16)));
        _mm512_storeu_si512(aligned + c, _mm512_max_epi16(_mm512_min_epi16(a, top), bottom));
    }
}

// Aligns the row to int16, and computes its sum and extremes. A 16-bit row without shifts is used in place.
inline RowSums aligned_row(const LayerNormRows& p, const void* x, int16_t* scratch, const int16_t*& aligned) {
    const int n = p.channels;
    if (!p.wide || p.input_shift || p.input_bits < 16) {
        shift_row(p, x, scratch);
        aligned = scratch;
    } else {
        aligned = static_cast<const int16_t*>(x);
    }
    __m512i sum = _mm512_setzero_si512(), low = _mm512_set1_epi16(32767), high = _mm512_set1_epi16(-32768);
    const __m512i one = _mm512_set1_epi16(1);
    for (int c = 0; c < n; c += 32) {
        const __mmask32 mask = tail32(n - c);
        const __m512i a = _mm512_maskz_loadu_epi16(mask, aligned + c);
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(a, one));
        low = _mm512_mask_min_epi16(low, mask, low, a);
        high = _mm512_mask_max_epi16(high, mask, high, a);
    }
    const __m512i low32 =
        _mm512_min_epi32(_mm512_srai_epi32(low, 16), _mm512_srai_epi32(_mm512_slli_epi32(low, 16), 16));
    const __m512i high32 =
        _mm512_max_epi32(_mm512_srai_epi32(high, 16), _mm512_srai_epi32(_mm512_slli_epi32(high, 16), 16));
    return {_mm512_reduce_add_epi32(sum), _mm512_reduce_min_epi32(low32), _mm512_reduce_max_epi32(high32)};
}

// d = round((C·a − Σ) · 2^-k) into int16, returning Σ round(d · 2^-t)². Products use 16-bit pairs (a, junk)·(C, 0).
template <bool Left>
inline int32_t centre_row(const LayerNormRows& p, const int16_t* aligned, int32_t sum, int k, int16_t* normal) {
    const int n = p.channels;
    const __m512i channels = _mm512_set1_epi32(n), total = _mm512_set1_epi32(sum);
    const __m128i right = _mm_cvtsi32_si128(k > 0 ? k : 0), left = _mm_cvtsi32_si128(k < 0 ? -k : 0);
    const __m512i half = _mm512_set1_epi32(k > 0 ? int32_t((uint32_t{1} << k) >> 1) : 0);
    const __m128i t = _mm_cvtsi32_si128(p.squares_shift);
    const __m512i squares_half = _mm512_set1_epi16(int16_t((1 << p.squares_shift) >> 1));
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    __m512i squares = _mm512_setzero_si512();
    auto centre = [&](__m256i a) {
        const __m512i c = _mm512_sub_epi32(_mm512_madd_epi16(_mm512_cvtepi16_epi32(a), channels), total);
        return Left ? _mm512_sll_epi32(c, left) : _mm512_sra_epi32(_mm512_add_epi32(c, half), right);
    };
    for (int c = 0; c < n; c += 32) {
        const __mmask32 mask = tail32(n - c);
        const __m512i a = _mm512_maskz_loadu_epi16(mask, aligned + c);
        const __m512i d0 = centre(_mm512_castsi512_si256(a)), d1 = centre(_mm512_extracti64x4_epi64(a, 1));
        const __m512i d = _mm512_maskz_mov_epi16(mask, _mm512_permutexvar_epi64(order, _mm512_packs_epi32(d0, d1)));
        _mm512_storeu_si512(normal + c, d);
        const __m512i reduced = _mm512_sra_epi16(_mm512_add_epi16(d, squares_half), t);
        squares = _mm512_add_epi32(squares, _mm512_madd_epi16(reduced, reduced));
    }
    return _mm512_reduce_add_epi32(squares);
}

// y = requantize(d · factor) to bytes, 64 channels at a time. All but the last bit of the shift is done in 32 bits;
// the last bit, the rounding and the saturation are done in 16 bits: what saturates there also saturates to a byte.
// Every shift is at least 1.
inline void scale_row_bytes(const LayerNormRows& p, const int16_t* normal, InverseRoot root, uint8_t* out) {
    const __m512i factor = _mm512_set1_epi32(root.factor), less = _mm512_set1_epi32(root.j - 1),
                  one = _mm512_set1_epi16(1);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    auto shifted = [&](int c) {
        const __m512i d = _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(normal + c)));
        return _mm512_srav_epi32(_mm512_madd_epi16(d, factor), _mm512_add_epi32(_mm512_loadu_si512(p.shift + c), less));
    };
    auto rounded = [&](int c) {
        return _mm512_srai_epi16(_mm512_adds_epi16(_mm512_packs_epi32(shifted(c), shifted(c + 16)), one), 1);
    };
    for (int c = 0; c < p.channels; c += 64) {
        const __m512i bytes = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(rounded(c), rounded(c + 32)));
        _mm512_storeu_si512(out + c, _mm512_xor_si512(bytes, _mm512_set1_epi8(-128)));
    }
}

inline void scale_row(const LayerNormRows& p, const int16_t* normal, InverseRoot root, void* out) {
    const int n = p.channels;
    if (p.out_bits == 8 && p.least_shift + root.j > 0)
        return scale_row_bytes(p, normal, root, static_cast<uint8_t*>(out));
    const __m512i factor = _mm512_set1_epi32(root.factor), j = _mm512_set1_epi32(root.j), one = _mm512_set1_epi32(1);
    for (int c = 0; c < n; c += 16) {
        const __m512i d = _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(normal + c)));
        const __m512i s = _mm512_add_epi32(_mm512_loadu_si512(p.shift + c), j);
        const __m512i half = _mm512_srli_epi32(_mm512_sllv_epi32(one, s), 1);
        const __m512i product = _mm512_madd_epi16(d, factor);
        store16(out, p.out_bits, c, _mm512_srav_epi32(_mm512_add_epi32(product, half), s));
    }
}

}   // namespace

void layernorm(const LayerNormRows& p) {
    // Each row's scalars wait for its whole loop, so a few rows take each loop in turn.
    struct Row {
        const int16_t* aligned;
        int16_t* normal;
        RowSums sums;
        int k;
        int32_t squares;
    } group[kNormRows];
    const size_t pitch = round_up(p.channels, 64);
    for (int first = 0; first < p.rows; first += kNormRows) {
        const int count = std::min(kNormRows, p.rows - first);
        for (int i = 0; i < count; ++i) {
            int16_t* scratch = p.scratch + 2 * i * pitch;
            group[i].normal = scratch + pitch;
            const void* x = static_cast<const std::byte*>(p.x) + (first + i) * p.x_pitch;
            group[i].sums = aligned_row(p, x, scratch, group[i].aligned);
        }
        for (int i = 0; i < count; ++i) {
            Row& row = group[i];
            const RowSums s = row.sums;
            row.k = centred_shift(p, std::max(p.channels * s.high - s.sum, s.sum - p.channels * s.low));
            // k is at most 31 and centred values are at most 2^30, so the rounding constant of k = 31 does not overflow.
            row.squares = row.k < 0 ? centre_row<true>(p, row.aligned, s.sum, row.k, row.normal)
                                    : centre_row<false>(p, row.aligned, s.sum, row.k, row.normal);
        }
        for (int i = 0; i < count; ++i)
            scale_row(p, group[i].normal, inverse_root(p, group[i].squares, group[i].k),
                      static_cast<std::byte*>(p.out) + (first + i) * p.out_pitch);
    }
}

}   // namespace p2vit::avx512
