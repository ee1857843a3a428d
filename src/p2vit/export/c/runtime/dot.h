/* Products of 8-bit vectors, summed in 32 bits. Here and in vector.h is all code for particular processors. */
#ifndef P2VIT_DOT_H
#define P2VIT_DOT_H

#include "p2vit_ops.h"
#include "vector.h"
#if defined(__wasm_relaxed_simd__) && !defined(P2VIT_PORTABLE)
#include "relaxed.h"
#endif

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

static inline uint32_t p2vit_load_four(const int8_t *x)
{
    uint32_t four;
    __builtin_memcpy(&four, x, 4);
    return four;
}

/* Cortex-M4, M7 and M33: two 16-bit products at a time, first of bytes 0 and 2, then of bytes 1 and 3. */
static inline int32_t p2vit_dot(const int8_t *a, const int8_t *b, int32_t n)
{
    int32_t sum = 0, i = 0;
    for (; i + 4 <= n; i += 4) {
        const uint32_t four_a = p2vit_load_four(a + i), four_b = p2vit_load_four(b + i);
        sum = __smlad(__sxtb16((int8x4_t)four_a), __sxtb16((int8x4_t)four_b), sum);
        sum = __smlad(__sxtb16((int8x4_t)(four_a >> 8)), __sxtb16((int8x4_t)(four_b >> 8)), sum);
    }
    for (; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

#elif defined(P2VIT_VECTOR)

static inline int32_t p2vit_dot(const int8_t *a, const int8_t *b, int32_t n)
{
    p2vit_vector sum = p2vit_zero();
    int32_t i = 0, rest = 0, parts[4];
    for (; i + 8 <= n; i += 8)
        sum = p2vit_products(sum, p2vit_load8(a + i), p2vit_load8(b + i));
    for (; i < n; i++)
        rest += a[i] * b[i];
    p2vit_store4(parts, sum);
    return parts[0] + parts[1] + parts[2] + parts[3] + rest;
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

/* Call once for every b that p2vit_dot4 and p2vit_dot4x2 take, and hand them the result. */
static inline int32_t p2vit_excess(const int8_t *b, int32_t n)
{
#ifdef P2VIT_RELAXED
    return p2vit_bytes_excess(b, n);
#else
    (void)b;
    (void)n;
    return 0;
#endif
}

#ifdef P2VIT_VECTOR

/* Four rows of a, `stride` apart, with the same b; excess is p2vit_excess(b, n). */
static inline void p2vit_dot4(const int8_t *a, size_t stride, const int8_t *b, int32_t n, int32_t excess,
                              int32_t sums[4])
{
#ifdef P2VIT_RELAXED
    if (p2vit_by_bytes(n)) {
        p2vit_bytes_dot4(a, stride, b, n, excess, sums);
        return;
    }
#endif
    (void)excess;
    p2vit_vector s0 = p2vit_zero(), s1 = s0, s2 = s0, s3 = s0;
    int32_t i = 0;
    for (; i + 8 <= n; i += 8, a += 8) {
        const p2vit_vector x = p2vit_load8(b + i);
        s0 = p2vit_products(s0, p2vit_load8(a), x);
        s1 = p2vit_products(s1, p2vit_load8(a + stride), x);
        s2 = p2vit_products(s2, p2vit_load8(a + 2 * stride), x);
        s3 = p2vit_products(s3, p2vit_load8(a + 3 * stride), x);
    }
    p2vit_store4(sums, p2vit_sums(s0, s1, s2, s3));
    for (; i < n; i++, a++)
        for (size_t row = 0; row < 4; row++)
            sums[row] += a[row * stride] * b[i];
}

/* The same with two rows of b: sums of b[0], then of b[1]. */
static inline void p2vit_dot4x2(const int8_t *a, size_t stride, const int8_t *const b[2], int32_t n,
                                const int32_t excess[2], int32_t sums[8])
{
#ifdef P2VIT_RELAXED
    if (p2vit_by_bytes(n)) {
        p2vit_bytes_dot4x2(a, stride, b, n, excess, sums);
        return;
    }
#endif
    (void)excess;
    p2vit_vector s0 = p2vit_zero(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    const int8_t *const first = b[0], *const second = b[1];
    int32_t i = 0;
    for (; i + 8 <= n; i += 8, a += 8) {
        const p2vit_vector x = p2vit_load8(first + i), y = p2vit_load8(second + i);
        p2vit_vector row = p2vit_load8(a);
        s0 = p2vit_products(s0, row, x);
        s4 = p2vit_products(s4, row, y);
        row = p2vit_load8(a + stride);
        s1 = p2vit_products(s1, row, x);
        s5 = p2vit_products(s5, row, y);
        row = p2vit_load8(a + 2 * stride);
        s2 = p2vit_products(s2, row, x);
        s6 = p2vit_products(s6, row, y);
        row = p2vit_load8(a + 3 * stride);
        s3 = p2vit_products(s3, row, x);
        s7 = p2vit_products(s7, row, y);
    }
    p2vit_store4(sums, p2vit_sums(s0, s1, s2, s3));
    p2vit_store4(sums + 4, p2vit_sums(s4, s5, s6, s7));
    for (; i < n; i++, a++)
        for (size_t row = 0; row < 4; row++) {
            sums[row] += a[row * stride] * first[i];
            sums[row + 4] += a[row * stride] * second[i];
        }
}

/* sums[d] = sum of codes[m] * v[m][d] over `keys` rows of v, `stride` apart; d < dims. */
static inline void p2vit_weigh(const uint8_t *codes, int32_t keys, const int8_t *v, size_t stride, int32_t dims,
                               int32_t *sums)
{
    int32_t d = 0;
#ifdef P2VIT_RELAXED
    if (p2vit_bytes == P2VIT_AS_UNSIGNED)
        for (; d + 16 <= dims; d += 16)
            p2vit_bytes_weigh(codes, keys, v + d, stride, sums + d);
#endif
    for (; d + 8 <= dims; d += 8) {
        p2vit_vector low = p2vit_zero(), high = low;
        const int8_t *at = v + d;
        int32_t m = 0;
        for (; m + 2 <= keys; m += 2, at += 2 * stride) {
            const p2vit_vector pair = p2vit_load_pair(codes + m), x = p2vit_load8(at), y = p2vit_load8(at + stride);
            low = p2vit_products(low, p2vit_interleave_low(x, y), pair);
            high = p2vit_products(high, p2vit_interleave_high(x, y), pair);
        }
        p2vit_store4(sums + d, low);
        p2vit_store4(sums + d + 4, high);
        if (m < keys)
            for (int32_t i = 0; i < 8; i++)
                sums[d + i] += codes[m] * at[i];
    }
    for (; d < dims; d++) {
        sums[d] = 0;
        for (int32_t m = 0; m < keys; m++)
            sums[d] += codes[m] * v[(size_t)m * stride + (size_t)d];
    }
}

#else

static inline void p2vit_dot4(const int8_t *a, size_t stride, const int8_t *b, int32_t n, int32_t excess,
                              int32_t sums[4])
{
    (void)excess;
    for (size_t i = 0; i < 4; i++)
        sums[i] = p2vit_dot(a + i * stride, b, n);
}

static inline void p2vit_dot4x2(const int8_t *a, size_t stride, const int8_t *const b[2], int32_t n,
                                const int32_t excess[2], int32_t sums[8])
{
    p2vit_dot4(a, stride, b[0], n, excess[0], sums);
    p2vit_dot4(a, stride, b[1], n, excess[1], sums + 4);
}

static inline void p2vit_weigh(const uint8_t *codes, int32_t keys, const int8_t *v, size_t stride, int32_t dims,
                               int32_t *sums)
{
    for (int32_t d = 0; d < dims; d++)
        sums[d] = 0;
    for (int32_t m = 0; m < keys; m++, v += stride) {
        const int32_t code = codes[m];
        if (code != 0)
            for (int32_t d = 0; d < dims; d++)
                sums[d] += code * v[d];
    }
}

#endif

#endif
