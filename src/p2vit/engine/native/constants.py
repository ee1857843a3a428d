"""Generator of the C++ header with the constants of ``numerics``.

    python -m p2vit.engine.native.constants > src/p2vit/engine/native/src/constants.h

The header is checked in, so that the engine builds without Python. A test compares it with this generator.
"""

from p2vit.numerics import (
    add,
    affine,
    attention_values,
    layernorm,
    linear,
    lookup,
    multiply,
    rotary,
    softmax,
    tokens,
)

#: Name in C++, number, and comment.
NUMBERS: tuple[tuple[str, int, str], ...] = (
    ("kTableEntries", lookup.ENTRIES, "entries of a table, one for each int8"),
    ("kTableColumns", lookup.TABLE_CHANNELS, "neighbouring columns that share one of several tables"),
    ("kLinearLargestShift", linear.LARGEST_SHIFT, "left or right"),
    ("kAddLargestShift", add.LARGEST_SHIFT, "of a residual add"),
    ("kAffineLeastShift", affine.SHIFTS[0], ""),
    ("kAffineLargestShift", affine.SHIFTS[1], ""),
    ("kRotaryFraction", rotary.FRACTION, "of a cosine or sine"),
    ("kRotaryLeastShift", rotary.SHIFTS[0], ""),
    ("kRotaryLargestShift", rotary.SHIFTS[1], ""),
    ("kMultiplyLargestShift", multiply.LARGEST_SHIFT, "of a product"),
    ("kSumLargestShift", tokens.LARGEST_SUM_SHIFT, "of a sum of tokens"),
    ("kDistanceBits", softmax.DISTANCE_BITS, "of a score's distance from its row's maximum"),
    ("kOctaveFactor", softmax.OCTAVE_FACTOR, "octaves = distance · factor >> fraction"),
    ("kOctaveFactorFraction", softmax.OCTAVE_FACTOR_FRACTION, ""),
    ("kOctaveFraction", softmax.OCTAVE_FRACTION, "fraction bits of octaves"),
    ("kExp2Bits", softmax.TABLE_BITS, "fraction bits of the table's index"),
    ("kExp2Shift", softmax.ENTRY_SHIFT, "from a table's entry to a code"),
    ("kLargestLinearCode", softmax.LARGEST_LINEAR_CODE, ""),
    ("kLargestLog2Code", softmax.LARGEST_LOG2_CODE, ""),
    ("kSoftmaxLargestShift", softmax.LARGEST_SHIFT, "left or right"),
    ("kQuotientBits", attention_values.QUOTIENT_BITS, "bits of the normalised row sum"),
    ("kReciprocalFraction", attention_values.RECIPROCAL_FRACTION, ""),
    ("kQuotientFraction", attention_values.QUOTIENT_FRACTION, "of codes × values ÷ sum"),
    ("kLeastGuard", attention_values.GUARDS[0], ""),
    ("kLargestGuard", attention_values.GUARDS[1], ""),
    ("kQuotientLeastShift", attention_values.SHIFTS[0], "of the operator"),
    ("kQuotientLargestShift", attention_values.SHIFTS[1], ""),
    ("kNormLargestChannels", layernorm.LARGEST_CHANNELS, ""),
    ("kCentredBits", layernorm.CENTRED_BITS, "of a centred value's magnitude"),
    ("kMantissaBits", layernorm.MANTISSA_BITS, "of a sum of squares, or one more"),
    ("kRootFirst", layernorm.TABLE_FIRST, "mantissa >> kRootIndexShift of the table's first entry"),
    ("kRootEntries", layernorm.TABLE_LAST - layernorm.TABLE_FIRST + 1, ""),
    ("kRootIndexShift", layernorm.INDEX_SHIFT, ""),
    ("kRootEntryBits", layernorm.ENTRY_BITS, ""),
    ("kSquaresBits", layernorm.SQUARES_BITS, "of a sum of squares"),
    ("kEpsilonBits", layernorm.EPSILON_BITS, ""),
    ("kNormLeastShift", layernorm.SHIFTS[0], ""),
    ("kNormLargestShift", layernorm.SHIFTS[1], ""),
    ("kEpsilonLeastShift", layernorm.EPSILON_SHIFTS[0], ""),
    ("kEpsilonLargestShift", layernorm.EPSILON_SHIFTS[1], ""),
)
#: Table entries per line.
PER_LINE = 12


def header() -> str:
    """Return the text of ``constants.h``."""
    lines = [
        "// Constants of p2vit.numerics. Made by `python -m p2vit.engine.native.constants`; do not edit.",
        "#pragma once",
        "",
        "#include <cstdint>",
        "",
        "namespace p2vit {",
        "",
    ]
    for name, number, about in NUMBERS:
        lines.append(f"inline constexpr int {name} = {number};" + (f"   // {about}" if about else ""))
    table = [int(entry) for entry in softmax.EXP2_TABLE]
    lines += [
        "",
        "// 2^(15 − (i + 1/2)/128), for the fraction i of an octave.",
        f"alignas(64) inline constexpr uint16_t kExp2Table[{len(table)}] = {{",
    ]
    for start in range(0, len(table), PER_LINE):
        lines.append("    " + " ".join(f"{entry}," for entry in table[start : start + PER_LINE]))
    lines += ["};", "", "}   // namespace p2vit", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(header(), end="")
