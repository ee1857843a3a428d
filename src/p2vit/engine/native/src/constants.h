// Constants of p2vit.numerics. Made by `python -m p2vit.engine.native.constants`; do not edit.
#pragma once

#include <cstdint>

namespace p2vit {

inline constexpr int kTableEntries = 256;   // entries of a table, one for each int8
inline constexpr int kTableColumns = 64;   // neighbouring columns that share one of several tables
inline constexpr int kLinearLargestShift = 31;   // left or right
inline constexpr int kAddLargestShift = 15;   // of a residual add
inline constexpr int kAffineLeastShift = -8;
inline constexpr int kAffineLargestShift = 30;
inline constexpr int kRotaryFraction = 14;   // of a cosine or sine
inline constexpr int kRotaryLeastShift = 0;
inline constexpr int kRotaryLargestShift = 30;
inline constexpr int kMultiplyLargestShift = 30;   // of a product
inline constexpr int kSumLargestShift = 30;   // of a sum of tokens
inline constexpr int kDistanceBits = 16;   // of a score's distance from its row's maximum
inline constexpr int kOctaveFactor = 23637;   // octaves = distance · factor >> fraction
inline constexpr int kOctaveFactorFraction = 15;
inline constexpr int kOctaveFraction = 11;   // fraction bits of octaves
inline constexpr int kExp2Bits = 7;   // fraction bits of the table's index
inline constexpr int kExp2Shift = 7;   // from a table's entry to a code
inline constexpr int kLargestLinearCode = 255;
inline constexpr int kLargestLog2Code = 15;
inline constexpr int kSoftmaxLargestShift = 24;   // left or right
inline constexpr int kQuotientBits = 8;   // bits of the normalised row sum
inline constexpr int kReciprocalFraction = 14;
inline constexpr int kQuotientFraction = 22;   // of codes × values ÷ sum
inline constexpr int kLeastGuard = 8;
inline constexpr int kLargestGuard = 15;
inline constexpr int kQuotientLeastShift = -16;   // of the operator
inline constexpr int kQuotientLargestShift = 8;
inline constexpr int kNormLargestChannels = 16384;
inline constexpr int kCentredBits = 14;   // of a centred value's magnitude
inline constexpr int kMantissaBits = 29;   // of a sum of squares, or one more
inline constexpr int kRootFirst = 256;   // mantissa >> kRootIndexShift of the table's first entry
inline constexpr int kRootEntries = 768;
inline constexpr int kRootIndexShift = 20;
inline constexpr int kRootEntryBits = 15;
inline constexpr int kSquaresBits = 30;   // of a sum of squares
inline constexpr int kEpsilonBits = 29;
inline constexpr int kNormLeastShift = 14;
inline constexpr int kNormLargestShift = 30;
inline constexpr int kEpsilonLeastShift = -14;
inline constexpr int kEpsilonLargestShift = 31;

// 2^(15 − (i + 1/2)/128), for the fraction i of an octave.
alignas(64) inline constexpr uint16_t kExp2Table[128] = {
    32679, 32503, 32327, 32153, 31979, 31806, 31635, 31464, 31294, 31125, 30957, 30790,
    30623, 30458, 30293, 30130, 29967, 29805, 29644, 29484, 29325, 29167, 29009, 28852,
    28697, 28542, 28388, 28234, 28082, 27930, 27779, 27629, 27480, 27332, 27184, 27037,
    26891, 26746, 26601, 26458, 26315, 26173, 26031, 25891, 25751, 25612, 25474, 25336,
    25199, 25063, 24928, 24793, 24659, 24526, 24394, 24262, 24131, 24001, 23871, 23742,
    23614, 23486, 23359, 23233, 23108, 22983, 22859, 22735, 22613, 22491, 22369, 22248,
    22128, 22009, 21890, 21772, 21654, 21537, 21421, 21305, 21190, 21076, 20962, 20849,
    20736, 20624, 20513, 20402, 20292, 20182, 20073, 19965, 19857, 19750, 19643, 19537,
    19431, 19326, 19222, 19118, 19015, 18912, 18810, 18708, 18607, 18507, 18407, 18308,
    18209, 18110, 18013, 17915, 17819, 17722, 17627, 17531, 17437, 17343, 17249, 17156,
    17063, 16971, 16879, 16788, 16697, 16607, 16518, 16428,
};

}   // namespace p2vit
