/* Linear layers: sums of 8-bit products in 32 bits, then one rounding shift per output channel.
 *
 * Two rows of weights serve all tokens before the next ones are read, four tokens at a time.
 */
#include "dot.h"
#include "requantize.h"

static const int8_t *weight_row(const p2vit_linear_t *op, const uint8_t *weights, int32_t output, int8_t *row)
{
    if (!op->packed)
        return (const int8_t *)(weights + op->weight) + (size_t)output * (size_t)op->inputs;
    const size_t stride = (size_t)(op->inputs + 1) / 2;
    const uint8_t *from = weights + op->weight + (size_t)output * stride;
    for (int32_t k = 0; k < op->inputs; k++) {
        const int32_t half = (k & 1) ? from[k / 2] >> 4 : from[k / 2] & 15;
        row[k] = (int8_t)((half ^ 8) - 8);
    }
    return row;
}

/* Bias, shift and store: `count` tokens of output n, the first of which is token t. */
static inline void finish(const p2vit_linear_t *op, void *y, size_t t, size_t n, int32_t *sums, const size_t count)
{
    const size_t outputs = (size_t)op->outputs, at = t * outputs + n;
    const int32_t bias = op->bias[n], shift = op->shift[n];
    for (size_t i = 0; i < count; i++)
        sums[i] = p2vit_shift_round(sums[i] + bias, shift);
    if (op->type == P2VIT_INT8)
        for (size_t i = 0; i < count; i++)
            ((int8_t *)y)[at + i * outputs] = (int8_t)p2vit_clamp(sums[i], -128, 127);
    else
        for (size_t i = 0; i < count; i++)
            p2vit_store(y, op->type, at + i * outputs, sums[i]);
}

#ifdef P2VIT_VECTOR
/* Bias, and half of what the shift divides by. */
static int32_t rounded_bias(const p2vit_linear_t *op, int32_t n)
{
    return (int32_t)((uint32_t)op->bias[n] + ((uint32_t)1 << (op->shift[n] - 1)));
}
#endif

void p2vit_linear(const p2vit_linear_t *op, const uint8_t *weights, const int8_t *x, void *y, int8_t *row)
{
    const size_t inputs = (size_t)op->inputs, rows = (size_t)op->rows;
    int32_t sums[8];
    int32_t n = 0;
    for (; n + 2 <= op->outputs; n += 2) {
        const int8_t *const w[2] = {weight_row(op, weights, n, row), weight_row(op, weights, n + 1, row + inputs)};
        const int32_t excess[2] = {p2vit_excess(w[0], op->inputs), p2vit_excess(w[1], op->inputs)};
        size_t t = 0;
#ifdef P2VIT_VECTOR
        const int32_t shift[2] = {op->shift[n], op->shift[n + 1]};
        if (op->type == P2VIT_INT8 && shift[0] > 0 && shift[1] > 0) {
            const int32_t added[2] = {rounded_bias(op, n), rounded_bias(op, n + 1)};
            for (; t + 4 <= rows; t += 4) {
                p2vit_dot4x2(x + t * inputs, inputs, w, op->inputs, excess, sums);
                p2vit_store_rounded(sums, added, shift, (int8_t *)y + t * (size_t)op->outputs + n, (size_t)op->outputs);
            }
        }
#endif
        for (; t + 4 <= rows; t += 4) {
            p2vit_dot4x2(x + t * inputs, inputs, w, op->inputs, excess, sums);
            finish(op, y, t, (size_t)n, sums, 4);
            finish(op, y, t, (size_t)n + 1, sums + 4, 4);
        }
        for (; t < rows; t++)
            for (size_t i = 0; i < 2; i++) {
                sums[0] = p2vit_dot(x + t * inputs, w[i], op->inputs);
                finish(op, y, t, (size_t)n + i, sums, 1);
            }
    }
    if (n < op->outputs) {
        const int8_t *w = weight_row(op, weights, n, row);
        for (size_t t = 0; t < rows; t++) {
            sums[0] = p2vit_dot(x + t * inputs, w, op->inputs);
            finish(op, y, t, (size_t)n, sums, 1);
        }
    }
}
