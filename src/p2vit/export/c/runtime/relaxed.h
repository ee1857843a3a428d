/* Byte products of WebAssembly's relaxed SIMD, sixteen at a time, where they are exact on the machine that runs them.
 *
 * The instruction is defined for second bytes of 0 to 127. With others it does what suits the processor, always the
 * same on one machine. p2vit_bytes_probe finds out what, over all pairs of bytes, before the first photo.
 */
#ifndef P2VIT_RELAXED_H
#define P2VIT_RELAXED_H
#define P2VIT_RELAXED 1

#include "p2vit_ops.h"
#include "vector.h"

/* How the second byte is read. Not usable: sums of two products saturate, or something else. */
enum { P2VIT_NOT_USABLE, P2VIT_AS_SIGNED, P2VIT_AS_UNSIGNED };
extern int32_t p2vit_bytes;
void p2vit_bytes_probe(void);

static inline p2vit_vector p2vit_bytes_products(p2vit_vector sum, p2vit_vector x, p2vit_vector y)
{
    return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x, y, sum);
}

/* Whether rows of n bytes take these products. */
static inline int p2vit_by_bytes(int32_t n)
{
    return p2vit_bytes != P2VIT_NOT_USABLE && n % 16 == 0;
}

/* Read as unsigned, rows of a enter with 128 added: this is what their products with b have too much. */
static inline int32_t p2vit_bytes_excess(const int8_t *b, int32_t n)
{
    uint32_t sum = 0;
    if (p2vit_bytes != P2VIT_AS_UNSIGNED)
        return 0;
    for (int32_t i = 0; i < n; i++)
        sum += (uint32_t)b[i];
    return (int32_t)(sum << 7);
}

static inline p2vit_vector p2vit_bytes_load(const int8_t *x, p2vit_vector added)
{
    return wasm_v128_xor(wasm_v128_load(x), added);
}

static inline void p2vit_bytes_dot4(const int8_t *a, size_t stride, const int8_t *b, int32_t n, int32_t excess,
                                    int32_t sums[4])
{
    const p2vit_vector added = wasm_i8x16_splat(p2vit_bytes == P2VIT_AS_UNSIGNED ? -128 : 0);
    p2vit_vector s0 = p2vit_zero(), s1 = s0, s2 = s0, s3 = s0;
    for (int32_t i = 0; i < n; i += 16, a += 16) {
        const p2vit_vector x = wasm_v128_load(b + i);
        s0 = p2vit_bytes_products(s0, x, p2vit_bytes_load(a, added));
        s1 = p2vit_bytes_products(s1, x, p2vit_bytes_load(a + stride, added));
        s2 = p2vit_bytes_products(s2, x, p2vit_bytes_load(a + 2 * stride, added));
        s3 = p2vit_bytes_products(s3, x, p2vit_bytes_load(a + 3 * stride, added));
    }
    p2vit_store4(sums, wasm_i32x4_sub(p2vit_sums(s0, s1, s2, s3), wasm_i32x4_splat(excess)));
}

static inline void p2vit_bytes_dot4x2(const int8_t *a, size_t stride, const int8_t *const b[2], int32_t n,
                                      const int32_t excess[2], int32_t sums[8])
{
    const p2vit_vector added = wasm_i8x16_splat(p2vit_bytes == P2VIT_AS_UNSIGNED ? -128 : 0);
    p2vit_vector s0 = p2vit_zero(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    const int8_t *const first = b[0], *const second = b[1];
    for (int32_t i = 0; i < n; i += 16, a += 16) {
        const p2vit_vector x = wasm_v128_load(first + i), y = wasm_v128_load(second + i);
        p2vit_vector row = p2vit_bytes_load(a, added);
        s0 = p2vit_bytes_products(s0, x, row);
        s4 = p2vit_bytes_products(s4, y, row);
        row = p2vit_bytes_load(a + stride, added);
        s1 = p2vit_bytes_products(s1, x, row);
        s5 = p2vit_bytes_products(s5, y, row);
        row = p2vit_bytes_load(a + 2 * stride, added);
        s2 = p2vit_bytes_products(s2, x, row);
        s6 = p2vit_bytes_products(s6, y, row);
        row = p2vit_bytes_load(a + 3 * stride, added);
        s3 = p2vit_bytes_products(s3, x, row);
        s7 = p2vit_bytes_products(s7, y, row);
    }
    p2vit_store4(sums, wasm_i32x4_sub(p2vit_sums(s0, s1, s2, s3), wasm_i32x4_splat(excess[0])));
    p2vit_store4(sums + 4, wasm_i32x4_sub(p2vit_sums(s4, s5, s6, s7), wasm_i32x4_splat(excess[1])));
}

/* Sixteen sums of codes, which are unsigned bytes, times rows of v. */
static inline void p2vit_bytes_weigh(const uint8_t *codes, int32_t keys, const int8_t *v, size_t stride, int32_t *sums)
{
    p2vit_vector s0 = p2vit_zero(), s1 = s0, s2 = s0, s3 = s0;
    int32_t m = 0;
    for (; m + 4 <= keys; m += 4, v += 4 * stride) {
        const p2vit_vector four = wasm_v128_load32_splat(codes + m);
        const p2vit_vector r0 = wasm_v128_load(v), r1 = wasm_v128_load(v + stride);
        const p2vit_vector r2 = wasm_v128_load(v + 2 * stride), r3 = wasm_v128_load(v + 3 * stride);
        /* Bytes of two rows in turn, then of four: lane d has column d of the four rows. */
        const p2vit_vector low01 = wasm_i8x16_shuffle(r0, r1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        const p2vit_vector low23 = wasm_i8x16_shuffle(r2, r3, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        const p2vit_vector high01 =
            wasm_i8x16_shuffle(r0, r1, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        const p2vit_vector high23 =
            wasm_i8x16_shuffle(r2, r3, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        s0 = p2vit_bytes_products(s0, p2vit_interleave_low(low01, low23), four);
        s1 = p2vit_bytes_products(s1, p2vit_interleave_high(low01, low23), four);
        s2 = p2vit_bytes_products(s2, p2vit_interleave_low(high01, high23), four);
        s3 = p2vit_bytes_products(s3, p2vit_interleave_high(high01, high23), four);
    }
    p2vit_store4(sums, s0);
    p2vit_store4(sums + 4, s1);
    p2vit_store4(sums + 8, s2);
    p2vit_store4(sums + 12, s3);
    for (; m < keys; m++, v += stride)
        for (size_t i = 0; i < 16; i++)
            sums[i] += codes[m] * v[i];
}

#endif
