// The epilogue of a linear layer on registers of 16 accumulators, and the unpacking of 4-bit weights, for the sets that
// have AVX-512. Private to each translation unit, which compiles it for its own instruction set.
#pragma once

#include <immintrin.h>

#include "kernels.h"

namespace p2vit {
namespace {

inline __m512i load(const void* p) { return _mm512_loadu_si512(p); }

// Looks 64 biased bytes up in a table of 256.
inline __m512i lookup(const uint8_t* table, __m512i index) {
    const __m512i lower = _mm512_permutex2var_epi8(load(table), index, load(table + 64));
    const __m512i upper = _mm512_permutex2var_epi8(load(table + 128), index, load(table + 192));
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), lower, upper);
}

// Saturate one or two registers of 16 int32 to int16, in order.
template <int N>
inline __m512i narrow16(const __m512i* value) {
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    return _mm512_permutexvar_epi64(order, _mm512_packs_epi32(value[0], value[N - 1]));
}

// Saturate up to four registers of 16 int32 to biased bytes, in order.
template <int W>
inline __m512i narrow8(const __m512i (&value)[W]) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i first = _mm512_packs_epi32(value[0], value[W > 1 ? 1 : 0]);
    const __m512i second = W > 2 ? _mm512_packs_epi32(value[W > 2 ? 2 : 0], value[W - 1]) : first;
    const __m512i bytes = _mm512_packs_epi16(first, second);   // each quarter: four of value[0], of value[1], ...
    return _mm512_xor_si512(_mm512_permutexvar_epi32(order, bytes), _mm512_set1_epi8(-128));
}

// Store int16 of N panels, with the plain residual added to them.
template <int N>
inline void store16(const __m512i* value, int16_t* out, const int16_t* residual) {
    constexpr __mmask16 mask = N == 2 ? 0xFFFF : 0x00FF;
    __m512i narrow = narrow16<N>(value);
    if (residual) narrow = _mm512_adds_epi16(narrow, _mm512_maskz_loadu_epi32(mask, residual));
    _mm512_mask_storeu_epi32(out, mask, narrow);
}

template <int W>
inline void store_wide(const __m512i (&value)[W], int16_t* out, const int16_t* residual) {
    if constexpr (W > 1) store16<2>(value, out, residual);
    if constexpr (W % 2) store16<1>(value + W - 1, out + 16 * (W - 1), residual ? residual + 16 * (W - 1) : nullptr);
}

// The general residual add: operands of any width, with shifts.
template <int W>
inline void add_shifted(const Epilogue& e, int row, int column, __m512i (&value)[W]) {
    const std::byte* residual = static_cast<const std::byte*>(e.residual) + row * e.residual_pitch;
    const int top = (1 << (e.bits - 1)) - 1;
    for (int j = 0; j < W; ++j) {
        const int c = column + 16 * j;
        __m512i other;
        if (e.residual_wide)
            other = _mm512_cvtepi16_epi32(
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(reinterpret_cast<const int16_t*>(residual) + c)));
        else
            other =
                _mm512_sub_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(residual + c))),
                                 _mm512_set1_epi32(128));
        const __m512i own =
            _mm512_max_epi32(_mm512_min_epi32(value[j], _mm512_set1_epi32(top)), _mm512_set1_epi32(-top - 1));
        const __m512i sum = _mm512_add_epi32(_mm512_sllv_epi32(own, load(e.left_own + c)),
                                             _mm512_sllv_epi32(other, load(e.left_residual + c)));
        const __m512i s = load(e.add_shift + c);
        const __m512i half = _mm512_srli_epi32(_mm512_sllv_epi32(_mm512_set1_epi32(1), s), 1);
        value[j] = _mm512_srav_epi32(_mm512_add_epi32(sum, half), s);
    }
}

template <int W>
inline void finish_row(const Epilogue& e, int row, int column, const __m512i (&acc)[W]) {
    std::byte* out = static_cast<std::byte*>(e.out) + row * e.out_pitch;
    if (e.bits == 32) {
        for (int j = 0; j < W; ++j) _mm512_storeu_si512(reinterpret_cast<int32_t*>(out) + column + 16 * j, acc[j]);
        return;
    }
    __m512i value[W];
    for (int j = 0; j < W; ++j) value[j] = _mm512_srav_epi32(acc[j], load(e.shift + column + 16 * j));
    const int16_t* plain = nullptr;
    if (e.residual) {
        // Saturating to 16 bits and then adding with saturation equals the reference only if all three have 16 bits.
        if (e.plain && e.residual_wide && e.bits == 16 && e.out_bits == 16)
            plain =
                reinterpret_cast<const int16_t*>(static_cast<const std::byte*>(e.residual) + row * e.residual_pitch) +
                column;
        else
            add_shifted<W>(e, row, column, value);
    }
    if (e.out_bits == 16) return store_wide<W>(value, reinterpret_cast<int16_t*>(out) + column, plain);
    __m512i bytes = narrow8<W>(value);
    if (e.table) {
        // A tile may cover columns of two tables.
        const int own = kTableColumns - column % kTableColumns;
        const __m512i looked_up = lookup(e.table_of(column), bytes);
        bytes = e.table_pitch && own < 16 * W
                    ? _mm512_mask_blend_epi8(~uint64_t{0} << own, looked_up, lookup(e.table_of(column + own), bytes))
                    : looked_up;
    }
    _mm512_mask_storeu_epi32(out + column, __mmask16((1 << (4 * W)) - 1), bytes);
}

inline void unpack_nibbles(const uint8_t* packed, int groups, int8_t* out) {
    const __m512i mask = _mm512_set1_epi8(15), sign = _mm512_set1_epi8(8);
    for (int g = 0; g < groups; ++g, packed += 32, out += 64) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(packed));
        const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(bytes), _mm256_srli_epi16(bytes, 4), 1);
        const __m512i value = _mm512_xor_si512(_mm512_and_si512(both, mask), sign);
        _mm512_storeu_si512(out, _mm512_sub_epi8(value, sign));
    }
}

}   // namespace
}   // namespace p2vit
