// LayerNorm of a row in plain loops, and the scalars of a row that every kernel set needs.
// Private to each translation unit, which compiles it for its own instruction set.
#pragma once

#include "kernels.h"
#include "rounding.h"
#include "values.h"

namespace p2vit {
namespace {

struct RowSums {
    int32_t sum;
    int low, high;
};

static_assert(kRootFirst << kRootIndexShift == 1 << (kMantissaBits - 1), "the table begins with the least mantissa");
static_assert(kNormLeastShift >= (kMantissaBits - 1) / 2, "the last step never shifts to the left");
static_assert(kRootEntries == 3 * kRootFirst, "a mantissa has kMantissaBits bits or one more");
static_assert(kCentredBits < 15, "centred values fit int16");
static_assert(kCentredBits + kRootEntryBits < 31, "a centred value times the inverse root fits int32");
static_assert((int64_t{1} << kSquaresBits) + (int64_t{1} << kEpsilonBits) <= INT32_MAX, "squares and epsilon fit int32");

// Steps 2 and 4 of LayerNorm: the shift of the centred row, and its factor.
inline int centred_shift(const LayerNormRows& p, int64_t largest) {
    return std::max(bit_length(uint64_t(largest)) - kCentredBits, p.epsilon_shift);
}

struct InverseRoot {
    int factor;
    int j;
};

inline InverseRoot inverse_root(const LayerNormRows& p, int64_t squares, int k) {
    const int64_t total = std::max<int64_t>(squares + shift_round(p.epsilon, 2 * (k - p.epsilon_shift)), 1);
    const int j = (bit_length(uint64_t(total)) - kMantissaBits) >> 1;
    const int64_t mantissa = j >= 0 ? total >> (2 * j) : total << (-2 * j);
    return {p.table[(mantissa >> kRootIndexShift) - kRootFirst], j};
}

// The loops over channels are kept free of branches and of 64-bit numbers, so that the compiler can vectorise them.
inline RowSums align_row(const LayerNormRows& p, const void* x, int16_t* aligned) {
    const int n = p.channels, top = (1 << (p.input_bits - 1)) - 1;
    if (p.wide)
        for (int c = 0; c < n; ++c) aligned[c] = static_cast<const int16_t*>(x)[c];
    else
        for (int c = 0; c < n; ++c) aligned[c] = int16_t(int(static_cast<const uint8_t*>(x)[c]) - 128);
    if (p.input_shift)
        for (int c = 0; c < n; ++c)
            aligned[c] = int16_t(saturate(int64_t{aligned[c]} << p.input_shift[c], p.input_bits));
    RowSums s{0, 32767, -32768};
    for (int c = 0; c < n; ++c) {
        const int a = std::min(std::max<int>(aligned[c], -top - 1), top);
        aligned[c] = int16_t(a);
        s.sum += a;
        s.low = std::min(s.low, a);
        s.high = std::max(s.high, a);
    }
    return s;
}

inline void portable_layernorm(const LayerNormRows& p) {
    const int n = p.channels;
    int16_t* aligned = p.scratch;
    int16_t* normal = p.scratch + round_up(n, 64);
    for (int r = 0; r < p.rows; ++r) {
        const RowSums s = align_row(p, static_cast<const std::byte*>(p.x) + r * p.x_pitch, aligned);
        const int k = centred_shift(p, std::max(n * s.high - s.sum, s.sum - n * s.low));
        // |centred| < 2^30, so the rounding constant of k = 31 does not overflow.
        const int right = k > 0 ? k : 0, left = k < 0 ? -k : 0, half = int32_t((uint32_t{1} << right) >> 1);
        const int t = p.squares_shift, squares_half = (1 << t) >> 1;
        int32_t squares = 0;
        for (int c = 0; c < n; ++c) {
            const int32_t d = (((n * aligned[c] - s.sum) << left) + half) >> right;
            normal[c] = int16_t(d);
            const int32_t reduced = (d + squares_half) >> t;
            squares += reduced * reduced;
        }
        const InverseRoot root = inverse_root(p, squares, k);
        void* out = static_cast<std::byte*>(p.out) + r * p.out_pitch;
        auto scaled = [&](int c, int bits) {
            const int shift = p.shift[c] + root.j;
            const int32_t product = normal[c] * root.factor;
            return clamp_bits((product + int32_t((uint32_t{1} << shift) >> 1)) >> shift, bits);
        };
        if (p.out_bits == 8)
            for (int c = 0; c < n; ++c) static_cast<uint8_t*>(out)[c] = uint8_t(scaled(c, 8) + 128);
        else
            for (int c = 0; c < n; ++c) static_cast<int16_t*>(out)[c] = int16_t(scaled(c, 16));
    }
}

}   // namespace
}   // namespace p2vit
