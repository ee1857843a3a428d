/* Product of two tensors, number by number: the gate of a gated MLP. */
#include "requantize.h"

void p2vit_multiply(const p2vit_multiply_t *op, const int8_t *a, const void *b, void *y)
{
    size_t i = 0;
    for (int32_t t = 0; t < op->rows; t++)
        for (int32_t c = 0; c < op->channels; c++, i++) {
            const int32_t product = (a[i] + op->offset[op->each_offset * c]) * p2vit_load(b, op->type_b, i);
            p2vit_store(y, op->type, i, p2vit_shift_round(product, op->shift[op->each_shift * c]));
        }
}
