/* Gain and bias per channel: a LayerNorm that feeds no linear layer. */
#include "requantize.h"

void p2vit_affine(const p2vit_affine_t *op, const void *x, void *y)
{
    size_t i = 0;
    for (int32_t t = 0; t < op->rows; t++)
        for (int32_t c = 0; c < op->channels; c++, i++) {
            const int32_t product = p2vit_load(x, op->input, i) * op->gain[c] + op->bias[c];
            p2vit_store(y, op->type, i, p2vit_shift_round(product, op->shift[c]));
        }
}
