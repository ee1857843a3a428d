/* Rotary position embedding: neighbouring channels turned by an angle that depends on the token. */
#include "requantize.h"

void p2vit_rotary(const p2vit_rotary_t *op, const void *x, void *y)
{
    size_t i = 0;
    for (int32_t t = 0; t < op->rows; t++) {
        const int16_t *cosine = op->cosine + (size_t)t * (size_t)op->pairs;
        const int16_t *sine = op->sine + (size_t)t * (size_t)op->pairs;
        for (int32_t c = 0; c < op->channels; c += 2, i += 2) {
            const int32_t p = c / 2 % op->pairs;
            const int32_t a = p2vit_load(x, op->input, i), b = p2vit_load(x, op->input, i + 1);
            const int32_t even = a * cosine[p] - b * sine[p], odd = a * sine[p] + b * cosine[p];
            p2vit_store(y, op->type, i, p2vit_shift_round(even, op->shift[op->each * c]));
            p2vit_store(y, op->type, i + 1, p2vit_shift_round(odd, op->shift[op->each * (c + 1)]));
        }
    }
}
