/* Attention x values of one query; the row's sum of codes divides after the product. */
#include "dot.h"
#include "requantize.h"

/* floor(2^(n + 14) / sum) for a sum of n bits: the quotient is 15 bits wide, found bit by bit in 32 bits. */
static int32_t reciprocal(uint32_t sum, int32_t n)
{
    if (n <= 17)
        return (int32_t)(((uint32_t)1 << (n + 14)) / sum);
    const uint32_t whole = (uint32_t)1 << n;
    uint32_t quotient = whole / sum, rest = whole % sum;
    for (int32_t i = 0; i < 14; i++) {
        rest <<= 1;
        quotient <<= 1;
        if (rest >= sum) {
            rest -= sum;
            quotient |= 1;
        }
    }
    return (int32_t)quotient;
}

/* The codes are powers of two: shifts instead of products. Returns the sum of the codes' values. */
static uint32_t weigh_powers(const p2vit_attention_t *op, const uint8_t *codes, const int8_t *v, size_t width,
                             int32_t *sums)
{
    uint32_t total = 0;
    for (int32_t d = 0; d < op->head_dim; d++)
        sums[d] = 0;
    for (int32_t m = 0; m < op->keys; m++, v += width) {
        const int32_t left = op->guard - codes[m];
        if (left < 0)
            continue;
        total += (uint32_t)1 << left;
        for (int32_t d = 0; d < op->head_dim; d++)
            sums[d] += (int32_t)((uint32_t)v[d] << left);
    }
    return total;
}

void p2vit_attention_values_row(const p2vit_attention_t *op, int32_t head, const uint8_t *codes, const int8_t *v,
                                void *y, size_t first, int32_t *sums)
{
    const size_t width = (size_t)op->heads * (size_t)op->head_dim;
    const int8_t *shift = op->shift + (size_t)head * (size_t)op->head_dim;
    uint32_t total = 0;
    if (op->log2) {
        total = weigh_powers(op, codes, v, width, sums);
    } else {
        for (int32_t m = 0; m < op->keys; m++)
            total += (uint32_t)codes[m];
        p2vit_weigh(codes, op->keys, v, width, op->head_dim, sums);
    }
    const int32_t n = p2vit_bit_length(total), factor = reciprocal(total, n);
    for (int32_t d = 0; d < op->head_dim; d++) {
        const int32_t reduced = p2vit_shift_round(sums[d], n - 8);
        sums[d] = p2vit_shift_round(reduced * factor, 22 + shift[d]);
    }
    p2vit_store_row(y, op->type, first, op->head_dim, sums);
}
