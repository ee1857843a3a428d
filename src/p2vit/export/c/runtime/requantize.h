/* The one rounding rule: every shift rounds half up. Then saturation to the output's width. */
#ifndef P2VIT_REQUANTIZE_H
#define P2VIT_REQUANTIZE_H

#include "p2vit_ops.h"

/* Shift right, rounding towards minus infinity, also where a compiler shifts zeros into negative numbers. */
static inline int32_t p2vit_floor_shift(int32_t x, int32_t s)
{
#if (-1 >> 1) == -1
    return x >> s;
#else
    return x < 0 ? -1 - ((-1 - x) >> s) : x >> s;
#endif
}

/* x * 2^-s, rounded half up; a negative s multiplies. s is -31 to 31. */
static inline int32_t p2vit_shift_round(int32_t x, int32_t s)
{
    if (s <= 0)
        return (int32_t)((uint32_t)x << -s);
    return p2vit_floor_shift(x + (int32_t)((uint32_t)1 << (s - 1)), s);
}

static inline int32_t p2vit_clamp(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* Number of bits of x; 0 for 0. */
static inline int32_t p2vit_bit_length(uint32_t x)
{
    int32_t bits = 0;
    while (x >= 256) {
        x >>= 8;
        bits += 8;
    }
    while (x != 0) {
        x >>= 1;
        bits++;
    }
    return bits;
}

static inline int32_t p2vit_load(const void *x, int32_t type, size_t i)
{
    return type == P2VIT_INT8 ? ((const int8_t *)x)[i] : type == P2VIT_INT16 ? ((const int16_t *)x)[i]
                                                                              : ((const int32_t *)x)[i];
}

/* The same for `count` numbers: the type is looked at once. */
static inline void p2vit_load_row(const void *x, int32_t type, size_t first, int32_t count, int32_t *row)
{
    if (type == P2VIT_INT8)
        for (int32_t i = 0; i < count; i++)
            row[i] = ((const int8_t *)x + first)[i];
    else if (type == P2VIT_INT16)
        for (int32_t i = 0; i < count; i++)
            row[i] = ((const int16_t *)x + first)[i];
    else
        for (int32_t i = 0; i < count; i++)
            row[i] = ((const int32_t *)x + first)[i];
}

/* Saturate to the type's width and store. */
static inline void p2vit_store(void *y, int32_t type, size_t i, int32_t value)
{
    if (type == P2VIT_INT8)
        ((int8_t *)y)[i] = (int8_t)p2vit_clamp(value, -128, 127);
    else if (type == P2VIT_INT16)
        ((int16_t *)y)[i] = (int16_t)p2vit_clamp(value, -32768, 32767);
    else
        ((int32_t *)y)[i] = value;
}

static inline void p2vit_store_row(void *y, int32_t type, size_t first, int32_t count, const int32_t *row)
{
    if (type == P2VIT_INT8)
        for (int32_t i = 0; i < count; i++)
            ((int8_t *)y + first)[i] = (int8_t)p2vit_clamp(row[i], -128, 127);
    else if (type == P2VIT_INT16)
        for (int32_t i = 0; i < count; i++)
            ((int16_t *)y + first)[i] = (int16_t)p2vit_clamp(row[i], -32768, 32767);
    else
        for (int32_t i = 0; i < count; i++)
            ((int32_t *)y + first)[i] = row[i];
}

#endif
