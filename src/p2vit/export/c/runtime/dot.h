/* Products of 8-bit vectors, summed in 32 bits. The only place with code for particular processors. */
#ifndef P2VIT_DOT_H
#define P2VIT_DOT_H

#include "p2vit_ops.h"

#if defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_NEON) && !defined(P2VIT_PORTABLE)
#include <arm_neon.h>

static inline int32_t p2vit_dot(const int8_t *a, const int8_t *b, int32_t n)
{
    int32x4_t sum = vdupq_n_s32(0);
    int32_t i = 0, rest = 0;
    for (; i + 16 <= n; i += 16)
        sum = vdotq_s32(sum, vld1q_s8(a + i), vld1q_s8(b + i));
    for (; i < n; i++)
        rest += a[i] * b[i];
    return vaddvq_s32(sum) + rest;
}

#elif defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_SIMD32) && !defined(P2VIT_PORTABLE)
#include <arm_acle.h>
#include <string.h>

/* Cortex-M4, M7 and M33: two 16-bit products at a time. */
static inline int32_t p2vit_dot(const int8_t *a, const int8_t *b, int32_t n)
{
    int32_t sum = 0, i = 0;
    for (; i + 4 <= n; i += 4) {
        uint32_t four_a, four_b;
        memcpy(&four_a, a + i, 4);
        memcpy(&four_b, b + i, 4);
        sum = __smlad(__sxtb16((int8x4_t)four_a), __sxtb16((int8x4_t)four_b), sum);
        sum = __smlad(__sxtb16((int8x4_t)__ror(four_a, 8)), __sxtb16((int8x4_t)__ror(four_b, 8)), sum);
    }
    for (; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

#elif defined(__wasm_simd128__) && !defined(P2VIT_PORTABLE)
#include <wasm_simd128.h>

static inline int32_t p2vit_dot(const int8_t *a, const int8_t *b, int32_t n)
{
    v128_t sum = wasm_i32x4_const(0, 0, 0, 0);
    int32_t i = 0, rest = 0;
    for (; i + 16 <= n; i += 16) {
        const v128_t x = wasm_v128_load(a + i), y = wasm_v128_load(b + i);
        sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(x), wasm_i16x8_extend_low_i8x16(y)));
        sum = wasm_i32x4_add(sum,
                             wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(x), wasm_i16x8_extend_high_i8x16(y)));
    }
    for (; i < n; i++)
        rest += a[i] * b[i];
    return wasm_i32x4_extract_lane(sum, 0) + wasm_i32x4_extract_lane(sum, 1) + wasm_i32x4_extract_lane(sum, 2) +
           wasm_i32x4_extract_lane(sum, 3) + rest;
}

#else

static inline int32_t p2vit_dot(const int8_t *a, const int8_t *b, int32_t n)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

#endif

/* Four rows of a, `stride` apart, with the same b. */
static inline void p2vit_dot4(const int8_t *a, size_t stride, const int8_t *b, int32_t n, int32_t sums[4])
{
    for (size_t i = 0; i < 4; i++)
        sums[i] = p2vit_dot(a + i * stride, b, n);
}

#endif
