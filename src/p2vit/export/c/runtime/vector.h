/* Eight 16-bit numbers at a time, where the processor has them: SSE2 and WebAssembly's SIMD. */
#ifndef P2VIT_VECTOR_H
#define P2VIT_VECTOR_H

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

#endif

#endif
