// Rotations and products of rows, as loops that each kernel set compiles for its own instructions.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels.h"

namespace p2vit {
namespace {

inline uint8_t biased_byte(int32_t x) { return uint8_t(std::min(std::max(x, -128), 127) + 128); }

// The products and the rounding half fit int32.
inline void rotary_row(const RotaryRow& p) {
    const int16_t* __restrict cosine = p.cosine;
    const int16_t* __restrict sine = p.sine;
    for (int start = 0; start < p.columns; start += 2 * p.pairs) {
        const int16_t* __restrict x = p.x + start;
        const int32_t* __restrict shift = p.shift + start;
        const int32_t* __restrict half = p.half + start;
        uint8_t* __restrict y = p.y + start;
        for (int i = 0; i < p.pairs; ++i) {
            const int32_t a = x[2 * i], b = x[2 * i + 1];
            y[2 * i] = biased_byte((a * cosine[i] - b * sine[i] + half[2 * i]) >> shift[2 * i]);
            y[2 * i + 1] = biased_byte((a * sine[i] + b * cosine[i] + half[2 * i + 1]) >> shift[2 * i + 1]);
        }
    }
}

// Product and rounding half fit int32.
inline void multiply_row(const MultiplyRow& p) {
    const uint8_t* __restrict a = p.a;
    const uint8_t* __restrict b = p.b;
    uint8_t* __restrict y = p.y;
    const int32_t* __restrict offset = p.offset;
    const int32_t* __restrict shift = p.shift;
    const int32_t* __restrict half = p.half;
    for (int c = 0; c < p.columns; ++c) {
        const int32_t product = (int32_t(a[c]) - 128 + offset[c]) * (int32_t(b[c]) - 128);
        y[c] = biased_byte((product + half[c]) >> shift[c]);
    }
}

}   // namespace
}   // namespace p2vit
