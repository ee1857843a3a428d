// Rounding, saturation and re-quantization of one number in 64 bits, as p2vit.numerics.rounding has them.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

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

}   // namespace
}   // namespace p2vit
