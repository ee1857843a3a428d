// Softmax of one row, in plain loops. Private to each translation unit, which compiles it for its own instruction set.
#pragma once

#include <algorithm>

#include "kernels.h"

namespace p2vit {
namespace {

static_assert(uint64_t{kLargestDistance} * kOctaveFactor <= INT32_MAX, "a distance times the factor fits 31 bits");
static_assert(kLargestOctaves <= UINT16_MAX, "octaves fit 16 bits");
static_assert(kLargestLog2Code < 16 && kLargestGuard <= 15, "what a log2 code stands for has two bytes");
constexpr int kHalfOctave = 1 << (kOctaveFraction - 1);

// Upper and lower byte of the value of each log2 code, 2^(guard − code).
struct Log2Weights {
    alignas(16) uint8_t high[kLargestLog2Code + 1], low[kLargestLog2Code + 1];
};

inline Log2Weights log2_weights(int guard) {
    Log2Weights weights;
    for (int c = 0; c <= kLargestLog2Code; ++c) {
        const uint32_t weight = c <= guard ? 1u << (guard - c) : 0;
        weights.high[c] = uint8_t(weight >> 8);
        weights.low[c] = uint8_t(weight);
    }
    return weights;
}

inline uint32_t portable_softmax(const SoftmaxRow& p) {
    constexpr int kBlock = 256;   // octaves are computed in blocks, and then looked up
    int32_t top = p.scores[0];
    for (int c = 1; c < p.count; ++c) top = std::max(top, p.scores[c]);
    const int right = p.shift > 0 ? p.shift : 0, left = p.shift < 0 ? -p.shift : 0;
    const uint32_t half = (uint32_t{1} << right) >> 1, cut = left >= kDistanceBits ? 1 : left ? kLargestDistance : INT32_MAX;
    const Log2Weights weights = log2_weights(p.guard);
    uint32_t total = 0;
    for (int begin = 0; begin < p.count; begin += kBlock) {
        const int count = std::min(kBlock, p.count - begin);
        uint16_t octaves[kBlock];
        for (int c = 0; c < count; ++c) {
            const uint32_t d = std::min(uint32_t(top) - uint32_t(p.scores[begin + c]), cut);
            const uint32_t z = std::min<uint32_t>(((d << std::min(left, kDistanceBits)) + half) >> right, kLargestDistance);
            octaves[c] = uint16_t(z * kOctaveFactor >> kOctaveFactorFraction);
        }
        uint8_t* codes = p.codes + begin;
        if (p.log2) {
            for (int c = 0; c < count; ++c) codes[c] = uint8_t(std::min((octaves[c] + kHalfOctave) >> kOctaveFraction, kLargestLog2Code));
            for (int c = 0; c < count; ++c) {
                p.high[begin + c] = weights.high[codes[c]];
                p.low[begin + c] = weights.low[codes[c]];
                total += weights.high[codes[c]] * 256u + weights.low[codes[c]];
            }
        } else {
            for (int c = 0; c < count; ++c) {
                codes[c] = softmax_codes[octaves[c] >> (kOctaveFraction - kExp2Bits)];
                total += codes[c];
            }
        }
    }
    for (int c = p.count, padded = int(round_up(p.count, 64)); c < padded; ++c) {
        p.codes[c] = 0;
        if (p.log2) p.high[c] = p.low[c] = 0;
    }
    return total;
}

}   // namespace
}   // namespace p2vit
