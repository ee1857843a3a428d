/* A table for each group of channels: the activation. x and y may be the same. */
#include "p2vit_ops.h"

void p2vit_lookup(const p2vit_lookup_t *op, const int8_t *x, int8_t *y)
{
    const size_t width = (size_t)(op->channels / op->groups);
    for (int32_t t = 0; t < op->rows; t++)
        for (int32_t g = 0; g < op->groups; g++) {
            const int8_t *table = op->table + (size_t)g * 256 + 128;
            for (size_t i = 0; i < width; i++)
                *y++ = table[*x++];
        }
}
