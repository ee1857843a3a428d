// The division after codes × values, in plain loops, and the reciprocal that every kernel set needs.
// Private to each translation unit, which compiles it for its own instruction set.
#pragma once

#include "kernels.h"
#include "rounding.h"
#include "values.h"

namespace p2vit {
namespace {

// Step 2 of codes × values ÷ sum: one reciprocal per row.
struct Reciprocal {
    int shift;
    int factor;
};

static_assert(kQuotientFraction == kQuotientBits + kReciprocalFraction);
// |accumulator| ≤ 2^7 · sum: shifted, and times a reciprocal of up to 2^(fraction + 1), it fits int32.
static_assert(7 + kQuotientBits + kReciprocalFraction + 1 < 31);

inline Reciprocal reciprocal(uint32_t total) {
    const int n = bit_length(total);
    return {n - kQuotientBits, total == 0 ? 0 : int((uint64_t{1} << (n + kReciprocalFraction)) / total)};
}

inline void portable_quotient(const QuotientRow& p) {
    const Reciprocal r = reciprocal(p.total);
    for (int c = 0; c < p.channels; ++c) {
        const int32_t acc = p.low ? int32_t(uint32_t(p.accumulator[c]) * 256u + uint32_t(p.low[c])) : p.accumulator[c];
        const int64_t product = shift_round(acc, r.shift) * r.factor;
        store_value(p.out, p.out_bits, c, int(requantize(product, p.shift[c], p.out_bits)));
    }
}

}   // namespace
}   // namespace p2vit
