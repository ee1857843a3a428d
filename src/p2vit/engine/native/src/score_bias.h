// Bias and mask for one row of scores.
#pragma once

#include "steps.h"

namespace p2vit {

// Adds the bias and mask of the window to which a row belongs.
inline void add_score_bias(const AttentionConfig& config, int h, int row, int32_t* scores) {
    const int keys = config.keys, local = row % keys;
    const int32_t* bias = config.bias.data() + (size_t(h) * keys + local) * keys;
    for (int k = 0; k < keys; ++k) scores[k] += bias[k];
    if (config.regions.empty()) return;
    const int8_t* regions = config.regions.data() + (row - local);
    const int32_t masked = config.masked[h];
    for (int k = 0; k < keys; ++k) scores[k] = regions[k] == regions[local] ? scores[k] : masked;
}


}   // namespace p2vit
