/* Scores of one query: its products with all keys. */
#include "dot.h"

void p2vit_scores_row(const int8_t *q, const int8_t *k, int32_t keys, int32_t head_dim, int32_t stride, int32_t *s)
{
    const size_t step = (size_t)stride;
    const int32_t excess = p2vit_excess(q, head_dim);
    int32_t m = 0;
    for (; m + 4 <= keys; m += 4)
        p2vit_dot4(k + (size_t)m * step, step, q, head_dim, excess, s + m);
    for (; m < keys; m++)
        s[m] = p2vit_dot(q, k + (size_t)m * step, head_dim);
}
