/* Residual add: both operands at the finer exponent, one exact sum, one rounding shift. */
#include "requantize.h"

enum { AT_ONCE = 64 };

void p2vit_add(const p2vit_add_t *op, const void *a, const void *b, void *y)
{
    int32_t left[AT_ONCE], right[AT_ONCE];
    size_t first = 0;
    for (int32_t t = 0; t < op->rows; t++)
        for (int32_t c = 0; c < op->channels; c += AT_ONCE) {
            const int32_t count = op->channels - c < AT_ONCE ? op->channels - c : AT_ONCE;
            const int8_t *const left_a = op->left_a + op->each_a * c, *const left_b = op->left_b + op->each_b * c;
            const int8_t *const shift = op->shift + op->each_shift * c;
            p2vit_load_row(a, op->type_a, first, count, left);
            p2vit_load_row(b, op->type_b, first, count, right);
            for (int32_t i = 0; i < count; i++)
                left[i] = p2vit_shift_round(left[i], -left_a[op->each_a * i]);
            for (int32_t i = 0; i < count; i++)
                left[i] += p2vit_shift_round(right[i], -left_b[op->each_b * i]);
            for (int32_t i = 0; i < count; i++)
                left[i] = p2vit_shift_round(left[i], shift[op->each_shift * i]);
            p2vit_store_row(y, op->type, first, count, left);
            first += (size_t)count;
        }
}
