/* Scores of one query: its products with all keys. */
#include "dot.h"

void p2vit_scores_row(const int8_t *q, const int8_t *k, int32_t keys, int32_t head_dim, int32_t stride, int32_t *s)
{
    for (int32_t m = 0; m < keys; m++)
        s[m] = p2vit_dot(q, k + (size_t)m * (size_t)stride, head_dim);
}
