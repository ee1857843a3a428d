/* LayerNorm in 32 bits: exact centring, block normalisation, a table for the inverse square root. */
#include "requantize.h"

enum { CENTRED_BITS = 14, TABLE_FIRST = 256, INDEX_SHIFT = 20 };

static void token(const p2vit_layernorm_t *op, const void *x, void *y, size_t first, int32_t *row)
{
    const int32_t channels = op->channels;
    const int32_t high = (int32_t)(((uint32_t)1 << (op->input_bits - 1)) - 1), low = -1 - high;
    int32_t sum = 0, squares = 0;
    uint32_t largest = 0;
    p2vit_load_row(x, op->input, first, channels, row);
    for (int32_t i = 0; i < channels; i++) {
        row[i] = p2vit_clamp(p2vit_shift_round(row[i], -op->input_shift[i]), low, high);
        sum += row[i];
    }
    for (int32_t i = 0; i < channels; i++) {
        row[i] = channels * row[i] - sum;
        const uint32_t size = row[i] < 0 ? 0u - (uint32_t)row[i] : (uint32_t)row[i];
        if (size > largest)
            largest = size;
    }
    int32_t k = p2vit_bit_length(largest) - CENTRED_BITS;
    if (k < op->epsilon_shift)
        k = op->epsilon_shift;
    for (int32_t i = 0; i < channels; i++) {
        row[i] = p2vit_shift_round(row[i], k);
        const int32_t reduced = p2vit_shift_round(row[i], op->squares_shift);
        squares += reduced * reduced;
    }
    const int32_t quieter = 2 * (k - op->epsilon_shift);
    squares += quieter > 30 ? 0 : p2vit_shift_round(op->epsilon, quieter);
    if (squares < 1)
        squares = 1;
    const int32_t j = p2vit_floor_shift(p2vit_bit_length((uint32_t)squares) - 29, 1);
    const uint32_t mantissa = j >= 0 ? (uint32_t)squares >> (2 * j) : (uint32_t)squares << (-2 * j);
    const int32_t factor = op->table[(mantissa >> INDEX_SHIFT) - TABLE_FIRST];
    for (int32_t i = 0; i < channels; i++)
        row[i] = p2vit_shift_round(row[i] * factor, op->shift[i] + j);
    p2vit_store_row(y, op->type, first, channels, row);
}

void p2vit_layernorm(const p2vit_layernorm_t *op, const void *x, void *y, int32_t *row)
{
    for (size_t t = 0; t < (size_t)op->rows; t++)
        token(op, x, y, t * (size_t)op->channels, row);
}
