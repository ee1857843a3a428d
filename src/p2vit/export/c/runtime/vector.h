/* Eight 16-bit numbers at a time, where the processor has them: SSE2 and WebAssembly's SIMD. */
#ifndef P2VIT_VECTOR_H
#define P2VIT_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#if defined(__wasm_simd128__) && !defined(P2VIT_PORTABLE)
#define P2VIT_VECTOR 1
#include <wasm_simd128.h>

typedef v128_t p2vit_vector;

static inline p2vit_vector p2vit_zero(void)
{
    return wasm_i32x4_const(0, 0, 0, 0);
}

/* Eight 8-bit numbers, widened to 16 bits. */
static inline p2vit_vector p2vit_load8(const int8_t *x)
{
    return wasm_i16x8_load8x8(x);
}

/* Two unsigned bytes, as 16-bit numbers, four times over. */
static inline p2vit_vector p2vit_load_pair(const uint8_t *x)
{
    return wasm_u16x8_extend_low_u8x16(wasm_v128_load16_splat(x));
}

/* sum + the four sums of two products that are neighbours. */
static inline p2vit_vector p2vit_products(p2vit_vector sum, p2vit_vector x, p2vit_vector y)
{
    return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(x, y));
}

/* The lower or upper four numbers of x and y in turn. */
static inline p2vit_vector p2vit_interleave_low(p2vit_vector x, p2vit_vector y)
{
    return wasm_i16x8_shuffle(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
}

static inline p2vit_vector p2vit_interleave_high(p2vit_vector x, p2vit_vector y)
{
    return wasm_i16x8_shuffle(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
}

static inline void p2vit_store4(int32_t *y, p2vit_vector x)
{
    wasm_v128_store(y, x);
}

/* Sums of the four 32-bit numbers of a, b, c and d. */
static inline p2vit_vector p2vit_sums(p2vit_vector a, p2vit_vector b, p2vit_vector c, p2vit_vector d)
{
    const v128_t ab = wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));
    const v128_t cd = wasm_i32x4_add(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
    return wasm_i32x4_add(wasm_i64x2_shuffle(ab, cd, 0, 2), wasm_i64x2_shuffle(ab, cd, 1, 3));
}

/* Four numbers of two channels: (number + added) >> shift, saturated to bytes; the two of a row are neighbours. */
static inline void p2vit_store_rounded(const int32_t numbers[8], const int32_t added[2], const int32_t shift[2],
                                       int8_t *y, size_t stride)
{
    const v128_t first = wasm_i32x4_add(wasm_v128_load(numbers), wasm_i32x4_splat(added[0]));
    const v128_t second = wasm_i32x4_add(wasm_v128_load(numbers + 4), wasm_i32x4_splat(added[1]));
    const v128_t words = wasm_i16x8_narrow_i32x4(wasm_i32x4_shr(first, (uint32_t)shift[0]),
                                                 wasm_i32x4_shr(second, (uint32_t)shift[1]));
    const v128_t bytes = wasm_i8x16_narrow_i16x8(words, words);
    const v128_t pairs = wasm_i8x16_shuffle(bytes, bytes, 0, 4, 1, 5, 2, 6, 3, 7, 0, 4, 1, 5, 2, 6, 3, 7);
    wasm_v128_store16_lane(y, pairs, 0);
    wasm_v128_store16_lane(y + stride, pairs, 1);
    wasm_v128_store16_lane(y + 2 * stride, pairs, 2);
    wasm_v128_store16_lane(y + 3 * stride, pairs, 3);
}

#elif defined(__SSE2__) && !defined(P2VIT_PORTABLE)
#define P2VIT_VECTOR 1
#include <emmintrin.h>

typedef __m128i p2vit_vector;

static inline p2vit_vector p2vit_zero(void)
{
    return _mm_setzero_si128();
}

static inline p2vit_vector p2vit_load8(const int8_t *x)
{
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)x);
    return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
}

static inline p2vit_vector p2vit_load_pair(const uint8_t *x)
{
    return _mm_set1_epi32(x[0] | x[1] << 16);
}

static inline p2vit_vector p2vit_products(p2vit_vector sum, p2vit_vector x, p2vit_vector y)
{
    return _mm_add_epi32(sum, _mm_madd_epi16(x, y));
}

static inline p2vit_vector p2vit_interleave_low(p2vit_vector x, p2vit_vector y)
{
    return _mm_unpacklo_epi16(x, y);
}

static inline p2vit_vector p2vit_interleave_high(p2vit_vector x, p2vit_vector y)
{
    return _mm_unpackhi_epi16(x, y);
}

static inline void p2vit_store4(int32_t *y, p2vit_vector x)
{
    _mm_storeu_si128((__m128i *)(void *)y, x);
}

static inline p2vit_vector p2vit_sums(p2vit_vector a, p2vit_vector b, p2vit_vector c, p2vit_vector d)
{
    const __m128i ab = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
    const __m128i cd = _mm_add_epi32(_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
    return _mm_add_epi32(_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd));
}

static inline void p2vit_store_rounded(const int32_t numbers[8], const int32_t added[2], const int32_t shift[2],
                                       int8_t *y, size_t stride)
{
    const __m128i *const from = (const __m128i *)(const void *)numbers;
    const __m128i first = _mm_add_epi32(_mm_loadu_si128(from), _mm_set1_epi32(added[0]));
    const __m128i second = _mm_add_epi32(_mm_loadu_si128(from + 1), _mm_set1_epi32(added[1]));
    const __m128i words = _mm_packs_epi32(_mm_sra_epi32(first, _mm_cvtsi32_si128(shift[0])),
                                          _mm_sra_epi32(second, _mm_cvtsi32_si128(shift[1])));
    const __m128i bytes = _mm_packs_epi16(words, words);
    const __m128i pairs = _mm_unpacklo_epi8(bytes, _mm_srli_epi64(bytes, 32));
    int32_t two[4];
    p2vit_store4(two, pairs);
    for (size_t i = 0; i < 4; i++)
        __builtin_memcpy(y + i * stride, (const uint8_t *)two + 2 * i, 2);
}

#endif

#endif
