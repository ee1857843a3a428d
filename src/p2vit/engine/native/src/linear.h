// The epilogue of a linear layer, in plain loops. Private to each translation unit, which compiles it for its own
// instruction set.
#pragma once

#include "kernels.h"
#include "values.h"

namespace p2vit {
namespace {

// Applies the epilogue to 16 accumulators: one row of one panel.
inline void finish_row(const Epilogue& e, int row, int column, const int32_t* acc) {
    if (e.bits == 32) {
        auto* out = reinterpret_cast<int32_t*>(static_cast<std::byte*>(e.out) + row * e.out_pitch) + column;
        for (int c = 0; c < kPanel; ++c) out[c] = acc[c];
        return;
    }
    int value[kPanel];
    for (int c = 0; c < kPanel; ++c) value[c] = clamp_bits(acc[c] >> e.shift[column + c], e.bits);
    if (e.table) {
        const uint8_t* table = e.table_of(column);
        for (int c = 0; c < kPanel; ++c) value[c] = int(table[value[c] + 128]) - 128;
    }
    if (e.residual) {
        const void* residual = static_cast<const std::byte*>(e.residual) + row * e.residual_pitch;
        for (int c = 0; c < kPanel; ++c) {
            const int i = column + c;
            const int other = load_value(residual, e.residual_wide, i);
            if (e.plain) {
                value[c] = clamp_bits(value[c] + other, e.out_bits);
                continue;
            }
            const int sum = (value[c] << e.left_own[i]) + (other << e.left_residual[i]);
            value[c] = clamp_bits((sum + ((1 << e.add_shift[i]) >> 1)) >> e.add_shift[i], e.out_bits);
        }
    }
    void* out = static_cast<std::byte*>(e.out) + row * e.out_pitch;
    for (int c = 0; c < kPanel; ++c) store_value(out, e.out_bits, column + c, value[c]);
}

// Unpacks 4-bit weights. In a group of 64, the lower halves of the bytes hold weights 0..31, the upper halves 32..63.
inline void unpack_nibbles(const uint8_t* packed, int groups, int8_t* out) {
    for (int g = 0; g < groups; ++g, packed += 32, out += 64)
        for (int i = 0; i < 32; ++i) {
            out[i] = int8_t(int8_t(packed[i] << 4) >> 4);
            out[i + 32] = int8_t(int8_t(packed[i]) >> 4);
        }
}

}   // namespace
}   // namespace p2vit
