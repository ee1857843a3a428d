/* Residual add: both operands at the finer exponent, one exact sum, one rounding shift. */
#include "requantize.h"

void p2vit_add(const p2vit_add_t *op, const void *a, const void *b, void *y)
{
    size_t i = 0;
    for (int32_t t = 0; t < op->rows; t++)
        for (int32_t c = 0; c < op->channels; c++, i++) {
            const int32_t left = p2vit_shift_round(p2vit_load(a, op->type_a, i), -op->left_a[op->each_a * c]);
            const int32_t right = p2vit_shift_round(p2vit_load(b, op->type_b, i), -op->left_b[op->each_b * c]);
            p2vit_store(y, op->type, i, p2vit_shift_round(left + right, op->shift[op->each_shift * c]));
        }
}
