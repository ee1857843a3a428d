/* Attention, one query row at a time: scores, softmax codes, and their product with the values, all in `row`. */
#include "p2vit_ops.h"

void p2vit_attention(const p2vit_attention_t *op, const int8_t *q, const int8_t *k, const int8_t *v, void *y,
                     int32_t *row)
{
    const size_t width = (size_t)op->heads * (size_t)op->head_dim;
    int32_t *const scores = row, *const sums = row + op->keys;
    uint8_t *const codes = (uint8_t *)(sums + op->head_dim);
    for (int32_t w = 0; w < op->windows; w++)
        for (int32_t h = 0; h < op->heads; h++) {
            const size_t column = (size_t)h * (size_t)op->head_dim;
            const size_t keys_at = (size_t)w * (size_t)op->keys * width + column;
            for (int32_t t = 0; t < op->queries; t++) {
                const size_t at = ((size_t)w * (size_t)op->queries + (size_t)t) * width + column;
                p2vit_scores_row(q + at, k + keys_at, op->keys, op->head_dim, (int32_t)width, scores);
                if (op->bias != NULL)
                    p2vit_score_bias_row(op, h, w, t, scores);
                p2vit_softmax_row(scores, op->keys, op->softmax_shift[h], op->log2, codes);
                p2vit_attention_values_row(op, h, codes, v + keys_at, y, at, sums);
            }
        }
}
