/* Softmax codes of one row, relative to its maximum; scores are replaced. */
#include "requantize.h"
#include "tables.h"

void p2vit_softmax_row(int32_t *s, int32_t keys, int32_t shift, int32_t log2, uint8_t *codes)
{
    int32_t most = s[0];
    for (int32_t m = 1; m < keys; m++)
        if (s[m] > most)
            most = s[m];
    for (int32_t m = 0; m < keys; m++) {
        int32_t z = p2vit_shift_round(most - s[m], shift);
        if (z > 65535)
            z = 65535;
        const int32_t octaves = (z * P2VIT_HALF_LOG2_E) >> 15;
        if (log2) {
            codes[m] = (uint8_t)p2vit_clamp(p2vit_shift_round(octaves, P2VIT_OCTAVE_FRACTION), 0, 15);
        } else {
            const int32_t whole = octaves >> P2VIT_OCTAVE_FRACTION;
            const int32_t index = (octaves >> (P2VIT_OCTAVE_FRACTION - P2VIT_TABLE_BITS)) & ((1 << P2VIT_TABLE_BITS) - 1);
            codes[m] = (uint8_t)p2vit_clamp(p2vit_shift_round(p2vit_exp2_table[index], 7 + whole), 0, 255);
        }
    }
}
