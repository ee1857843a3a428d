// Softmax of one row, in plain loops. Private to each translation unit, which compiles it for its own instruction set.
#pragma once

#include <algorithm>

#include "kernels.h"

namespace p2vit {
namespace {

inline uint32_t portable_softmax(const SoftmaxRow& p) {
    constexpr int kBlock = 256;   // octaves below the maximum are computed in blocks, then looked up
    int32_t top = p.scores[0];
    for (int c = 1; c < p.count; ++c) top = std::max(top, p.scores[c]);
    const int right = p.shift > 0 ? p.shift : 0, left = p.shift < 0 ? -p.shift : 0;
    const uint32_t half = (uint32_t{1} << right) >> 1, cut = left >= 16 ? 1 : left ? 65535 : INT32_MAX;
    uint8_t weights[2][16];
    for (int c = 0; c < 16; ++c) {
        const uint32_t weight = c <= p.guard ? 1u << (p.guard - c) : 0;
        weights[0][c] = uint8_t(weight >> 8);
        weights[1][c] = uint8_t(weight);
    }
    uint32_t total = 0;
    for (int begin = 0; begin < p.count; begin += kBlock) {
        const int count = std::min(kBlock, p.count - begin);
        uint16_t octaves[kBlock];
        for (int c = 0; c < count; ++c) {
            const uint32_t d = std::min(uint32_t(top) - uint32_t(p.scores[begin + c]), cut);
            const uint32_t z = std::min<uint32_t>(((d << std::min(left, 16)) + half) >> right, 65535);
            octaves[c] = uint16_t(z * 23637u >> 15);
        }
        uint8_t* codes = p.codes + begin;
        if (p.log2) {
            for (int c = 0; c < count; ++c) codes[c] = uint8_t(std::min((octaves[c] + 1024) >> 11, 15));
            for (int c = 0; c < count; ++c) {
                p.high[begin + c] = weights[0][codes[c]];
                p.low[begin + c] = weights[1][codes[c]];
                total += weights[0][codes[c]] * 256u + weights[1][codes[c]];
            }
        } else {
            for (int c = 0; c < count; ++c) {
                codes[c] = softmax_codes[octaves[c] >> 4];
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
