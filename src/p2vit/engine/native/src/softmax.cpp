// The tables of softmax.
#include "kernels.h"

#include <algorithm>

namespace p2vit {

uint16_t exp2_table[128];
uint8_t softmax_codes[3072];

void set_exp2_table(const uint16_t* table) {
    std::copy_n(table, 128, exp2_table);
    for (int i = 0; i < 3072; ++i)
        softmax_codes[i] = uint8_t(std::min(((exp2_table[i & 127] >> (6 + (i >> 7))) + 1) >> 1, 255));
}

}   // namespace p2vit
