/* Linear layers: sums of 8-bit products in 32 bits, then one rounding shift per output channel.
 *
 * A row of weights serves all tokens before the next one is read, four tokens at a time.
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

void p2vit_linear(const p2vit_linear_t *op, const uint8_t *weights, const int8_t *x, void *y, int8_t *row)
{
    const size_t inputs = (size_t)op->inputs, outputs = (size_t)op->outputs;
    for (int32_t n = 0; n < op->outputs; n++) {
        const int8_t *w = weight_row(op, weights, n, row);
        const int32_t bias = op->bias[n], shift = op->shift[n];
        size_t t = 0;
        for (; t + 4 <= (size_t)op->rows; t += 4) {
            int32_t sums[4];
            p2vit_dot4(x + t * inputs, inputs, w, op->inputs, sums);
            for (size_t i = 0; i < 4; i++)
                p2vit_store(y, op->type, (t + i) * outputs + (size_t)n, p2vit_shift_round(sums[i] + bias, shift));
        }
        for (; t < (size_t)op->rows; t++) {
            const int32_t sum = p2vit_dot(x + t * inputs, w, op->inputs);
            p2vit_store(y, op->type, t * outputs + (size_t)n, p2vit_shift_round(sum + bias, shift));
        }
    }
}
