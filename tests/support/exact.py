"""Rounding on exact fractions."""

from fractions import Fraction
from math import floor

from p2vit.numerics.rounding import int_range


def half_up(value: Fraction, bits: int) -> int:
    """Round half up and saturate to a signed width."""
    low, high = int_range(bits, True)
    return max(low, min(high, floor(value + Fraction(1, 2))))
