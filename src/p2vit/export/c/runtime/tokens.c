/* Tokens: put together, summed, gathered, copied. */
#include "requantize.h"

void p2vit_copy(const void *x, void *y, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)y)[i] = ((const uint8_t *)x)[i];
}

void p2vit_assemble_tokens(const p2vit_assemble_tokens_t *op, const void *x, void *y)
{
    const size_t before = (size_t)op->prefix_rows * (size_t)op->channels;
    const size_t count = (size_t)op->rows * (size_t)op->channels;
    for (size_t i = 0; i < before; i++)
        p2vit_store(y, op->type, i, p2vit_load(op->prefix, op->type, i));
    for (size_t i = 0; i < count; i++)
        p2vit_store(y, op->type, before + i, p2vit_load(x, op->input, i) + p2vit_load(op->position, op->type, i));
}

void p2vit_sum_tokens(const p2vit_sum_tokens_t *op, const void *x, void *y)
{
    for (int32_t c = 0; c < op->channels; c++) {
        int32_t sum = 0;
        for (int32_t t = op->first; t < op->first + op->count; t++)
            sum += p2vit_load(x, op->input, (size_t)t * (size_t)op->channels + (size_t)c);
        p2vit_store(y, op->type, (size_t)c, p2vit_shift_round(sum, op->shift[op->each * c]));
    }
}

void p2vit_gather_tokens(const p2vit_gather_tokens_t *op, const void *x, void *y)
{
    const size_t bytes = (size_t)op->token_bytes;
    uint8_t *to = (uint8_t *)y;
    for (int32_t i = 0; i < op->rows * op->side; i++, to += bytes) {
        const int32_t token = op->index[i];
        p2vit_copy(token < 0 ? op->fill : (const uint8_t *)x + (size_t)token * bytes, to, bytes);
    }
}
