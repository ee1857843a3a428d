/* Relative position bias, and the mask of shifted windows. */
#include "p2vit_ops.h"

void p2vit_score_bias_row(const p2vit_attention_t *op, int32_t head, int32_t window, int32_t query, int32_t *s)
{
    const size_t keys = (size_t)op->keys;
    const int32_t *bias = op->bias + ((size_t)head * keys + (size_t)query) * keys;
    for (size_t m = 0; m < keys; m++)
        s[m] += bias[m];
    if (op->regions == NULL)
        return;
    const int8_t *regions = op->regions + (size_t)window * keys;
    for (size_t m = 0; m < keys; m++)
        if (regions[m] != regions[query])
            s[m] = op->masked[head];
}
