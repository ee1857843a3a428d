// The few scalars that a row of LayerNorm or of attention needs, shared by every kernel set.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels.h"

// Private to each translation unit: what one kernel set compiled with its instructions must not serve another.
namespace p2vit {
namespace {

inline int bit_length(uint64_t x) { return 64 - std::countl_zero(x); }

// Round half up; a negative shift multiplies. |x| < 2^61 and shifts as the norm allows them.
inline int64_t shift_round(int64_t x, int shift) {
    if (shift <= 0) return x << std::min(-shift, 62);
    shift = std::min(shift, 62);
    return (x + (int64_t{1} << (shift - 1))) >> shift;
}

inline int64_t saturate(int64_t x, int bits) {
    const int64_t top = (int64_t{1} << (bits - 1)) - 1;
    return std::clamp(x, -top - 1, top);
}

// Saturate before a left shift too, so that nothing leaves 64 bits; the result is the same.
inline int64_t requantize(int64_t x, int shift, int bits) {
    return shift < 0 ? saturate(saturate(x, bits) << std::min(-shift, 32), bits)
                     : saturate(shift_round(x, shift), bits);
}

struct RowSums {
    int32_t sum;
    int low, high;
};

// Steps 2 and 4 of LayerNorm: how far the centred row is shifted, and what it is multiplied with.
inline int centred_shift(const LayerNormRows& p, int64_t largest) {
    return std::max(bit_length(uint64_t(largest)) - 14, p.epsilon_shift);
}

struct InverseRoot {
    int factor;
    int j;
};

inline InverseRoot inverse_root(const LayerNormRows& p, int64_t squares, int k) {
    const int64_t total = std::max<int64_t>(squares + shift_round(p.epsilon, 2 * (k - p.epsilon_shift)), 1);
    const int j = (bit_length(uint64_t(total)) - 29) >> 1;
    const int64_t mantissa = j >= 0 ? total >> (2 * j) : total << (-2 * j);
    return {p.table[(mantissa >> 20) - 256], j};
}

// Steps 2 of codes × values ÷ sum: one reciprocal per row.
struct Reciprocal {
    int shift;
    int factor;
};

inline Reciprocal reciprocal(uint32_t total) {
    const int n = bit_length(total);
    return {n - 8, total == 0 ? 0 : int((uint64_t{1} << (n + 14)) / total)};
}

}   // namespace
}   // namespace p2vit
