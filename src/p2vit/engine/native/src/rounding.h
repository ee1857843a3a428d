// Rounding, saturation and re-quantization of one number in 64 bits, as in p2vit.numerics.rounding.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

// Private to each translation unit, so that code compiled for one instruction set is not linked into another set.
namespace p2vit {
namespace {

inline int bit_length(uint64_t x) { return 64 - std::countl_zero(x); }

// Rounds half up; a negative shift multiplies. |x| < 2^61, and the shift is in the reference's range.
inline int64_t shift_round(int64_t x, int shift) {
    if (shift <= 0) return x << std::min(-shift, 62);
    shift = std::min(shift, 62);
    return (x + (int64_t{1} << (shift - 1))) >> shift;
}

inline int64_t saturate(int64_t x, int bits) {
    const int64_t top = (int64_t{1} << (bits - 1)) - 1;
    return std::clamp(x, -top - 1, top);
}

// Saturates before a left shift too, so that 64 bits are enough; the result is the same.
inline int64_t requantize(int64_t x, int shift, int bits) {
    return shift < 0 ? saturate(saturate(x, bits) << std::min(-shift, 32), bits)
                     : saturate(shift_round(x, shift), bits);
}

}   // namespace
}   // namespace p2vit
