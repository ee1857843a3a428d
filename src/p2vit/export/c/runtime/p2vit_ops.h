/* The integer operators of a p2vit program in freestanding C99: no float, no heap, no 64-bit arithmetic.
 *
 * One operator per file. Each works on one image. Tensors lie in row-major order: [tokens, channels].
 * Every sum is proved to fit 32 bits for the program that was exported (p2vit audit).
 */
#ifndef P2VIT_OPS_H
#define P2VIT_OPS_H

#include <stddef.h>
#include <stdint.h>

/* Storage of a tensor. Codes of softmax never become tensors. */
enum p2vit_type { P2VIT_INT8 = 1, P2VIT_INT16 = 2, P2VIT_INT32 = 4 };

/* uint8 pixels [height, width, 3] to centred patches, int8 [patches, patch * patch * 3]. */
typedef struct {
    int32_t height, width, channels, patch;
} p2vit_patchify_t;
void p2vit_patchify(const p2vit_patchify_t *op, const uint8_t *pixels, int8_t *y);

/* y = requantize(x * W' + bias), per output channel. Weights of at most 4 bits are stored two in a byte. */
typedef struct {
    int32_t rows, inputs, outputs;
    size_t weight;        /* where the weights start among all weights: [outputs, inputs] */
    int32_t packed;       /* 1: two weights in a byte, the first in the low half; rows start at a byte */
    const int32_t *bias;  /* [outputs] */
    const int8_t *shift;  /* [outputs], -31 to 31 */
    int32_t type;         /* of y */
} p2vit_linear_t;
void p2vit_linear(const p2vit_linear_t *op, const uint8_t *weights, const int8_t *x, void *y, int8_t *row);

/* Normalise each token: (x - mean) / sqrt(variance + epsilon). */
typedef struct {
    int32_t rows, channels;
    const int8_t *input_shift; /* [channels], left shifts */
    const uint16_t *table;     /* [768], inverse square root */
    const int8_t *shift;       /* [channels] */
    int32_t epsilon, epsilon_shift, squares_shift, input_bits;
    int32_t input, type; /* storage of x and y */
} p2vit_layernorm_t;
void p2vit_layernorm(const p2vit_layernorm_t *op, const void *x, void *y, int32_t *row);

/* y = table[group][x + 128]: the activation. */
typedef struct {
    int32_t rows, channels, groups;
    const int8_t *table; /* [groups, 256] */
} p2vit_lookup_t;
void p2vit_lookup(const p2vit_lookup_t *op, const int8_t *x, int8_t *y);

/* y = requantize((a << left_a) + (b << left_b)); one shift for all channels, or one for each. */
typedef struct {
    int32_t rows, channels;
    const int8_t *left_a, *left_b, *shift;
    int32_t each_a, each_b, each_shift; /* 1: one for each channel */
    int32_t type_a, type_b, type;
} p2vit_add_t;
void p2vit_add(const p2vit_add_t *op, const void *a, const void *b, void *y);

/* y = requantize(x * gain + bias), per channel. */
typedef struct {
    int32_t rows, channels;
    const int16_t *gain; /* [channels] */
    const int32_t *bias; /* [channels] */
    const int8_t *shift; /* [channels] */
    int32_t input, type;
} p2vit_affine_t;
void p2vit_affine(const p2vit_affine_t *op, const void *x, void *y);

/* Channels 2i and 2i + 1 of token t turn by the angle of cosine and sine [t, i % pairs], which have 14 fraction bits. */
typedef struct {
    int32_t rows, channels, pairs;
    const int16_t *cosine, *sine; /* [rows, pairs] */
    const int8_t *shift;
    int32_t each; /* 1: one shift for each channel */
    int32_t input, type;
} p2vit_rotary_t;
void p2vit_rotary(const p2vit_rotary_t *op, const void *x, void *y);

/* y = requantize((a + offset) * b). */
typedef struct {
    int32_t rows, channels;
    const int16_t *offset;
    const int8_t *shift;
    int32_t each_offset, each_shift; /* 1: one for each channel */
    int32_t type_b, type;
} p2vit_multiply_t;
void p2vit_multiply(const p2vit_multiply_t *op, const int8_t *a, const void *b, void *y);

/* Scores, their bias and mask, softmax, and attention x values, one query row at a time. */
typedef struct {
    int32_t heads, head_dim, windows, queries, keys; /* queries and keys of one window */
    const int8_t *softmax_shift;                     /* [heads] */
    int32_t log2;                                    /* 1: codes are powers of two */
    int32_t guard;                                   /* log2: a code c stands for 2^(guard - c) */
    const int32_t *bias;                             /* [heads, queries, keys], or NULL */
    const int8_t *regions;                           /* [windows, keys], or NULL */
    const int32_t *masked;                           /* [heads], with regions */
    const int8_t *shift;                             /* [heads * head_dim] */
    int32_t type;                                    /* of y */
} p2vit_attention_t;
void p2vit_attention(const p2vit_attention_t *op, const int8_t *q, const int8_t *k, const int8_t *v, void *y,
                     int32_t *row);
void p2vit_scores_row(const int8_t *q, const int8_t *k, int32_t keys, int32_t head_dim, int32_t stride, int32_t *s);
void p2vit_score_bias_row(const p2vit_attention_t *op, int32_t head, int32_t window, int32_t query, int32_t *s);
void p2vit_softmax_row(int32_t *s, int32_t keys, int32_t shift, int32_t log2, uint8_t *codes);
void p2vit_attention_values_row(const p2vit_attention_t *op, int32_t head, const uint8_t *codes, const int8_t *v,
                                void *y, size_t first, int32_t *sums);

/* Prefix tokens, then patches with their positions added. */
typedef struct {
    int32_t prefix_rows, rows, channels;
    const void *prefix, *position; /* of the type of y */
    int32_t input, type;
} p2vit_assemble_tokens_t;
void p2vit_assemble_tokens(const p2vit_assemble_tokens_t *op, const void *x, void *y);

/* y = requantize(sum of tokens), per channel. */
typedef struct {
    int32_t first, count, channels;
    const int8_t *shift;
    int32_t each; /* 1: one shift for each channel */
    int32_t input, type;
} p2vit_sum_tokens_t;
void p2vit_sum_tokens(const p2vit_sum_tokens_t *op, const void *x, void *y);

/* Output token i is the tokens index[i, ...] side by side; -1 stands for the fill token. Sizes in bytes. */
typedef struct {
    int32_t rows, side, token_bytes;
    const int32_t *index; /* [rows, side] */
    const void *fill;     /* one token */
} p2vit_gather_tokens_t;
void p2vit_gather_tokens(const p2vit_gather_tokens_t *op, const void *x, void *y);

/* Copies bytes: select one token, or constant tokens. */
void p2vit_copy(const void *x, void *y, size_t bytes);

#endif
