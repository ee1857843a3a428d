// Reading and writing of integers in the rows of a buffer. Private to each translation unit, which compiles it for its
// own instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace p2vit {
namespace {

inline int load_value(const void* row, bool wide, int c) {
    return wide ? static_cast<const int16_t*>(row)[c] : int(static_cast<const uint8_t*>(row)[c]) - 128;
}

inline void store_value(void* row, int bits, int c, int value) {
    if (bits == 8)
        static_cast<uint8_t*>(row)[c] = uint8_t(value + 128);
    else
        static_cast<int16_t*>(row)[c] = int16_t(value);
}

inline int clamp_bits(int x, int bits) {
    const int top = (1 << (bits - 1)) - 1;
    return x < -top - 1 ? -top - 1 : x > top ? top : x;
}

}   // namespace
}   // namespace p2vit
