"""Rotary position embedding: pairs of channels turned by an angle that depends on the token's position."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.operator import INT8, INT16, Bounds, Operator, Shape, expect
from p2vit.numerics.requantize import requantize
from p2vit.numerics.rounding import IntArray, Range, clamp_range, shift_round

#: Fraction bits of a cosine or sine: 1 is 2^14, which int16 holds exactly.
FRACTION = 14
#: Least and largest shift.
SHIFTS = (0, 30)


@dataclass(frozen=True, eq=False)
class Rotary(Operator):
    """Rotate neighbouring channels ``(a, b)`` of each token by a constant angle.

    ``y = requantize(a·cos − b·sin)`` for the even channel and ``requantize(a·sin + b·cos)`` for the odd one.
    Models that pair channel i with channel i + D/2 have their query and key channels reordered before; scores
    do not depend on that order.

    Widths: x up to 16 bits signed; each product up to 30 bits; the sum of two fits 31 bits, so that the
    rounding half fits int32 (:meth:`bounds` proves it from the actual tables). Error: half an output step, and
    at most ``(|a| + |b|) · 2^-15`` input steps from the rounding of the tables, which is at most 2 steps of a
    16-bit input.

    Source: J. Su et al., RoFormer (2021), equation 34.

    Attributes:
        cosine: int16 [N, P], cosine of each token's angle for each pair of channels, at :data:`FRACTION` bits.
            P divides the number of pairs; the columns repeat along the channels, once per head.
        sine: int16 [N, P], the sines.
        shift: int8 [C] or [1], right shift from product to output, 0 to 30: output exponent − input exponent
            + :data:`FRACTION`.
        output_bits: 8 or 16.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((16, True),)

    cosine: IntArray = field(metadata=INT16)
    sine: IntArray = field(metadata=INT16)
    shift: IntArray = field(metadata=INT8)
    output_bits: int = 8

    def validate(self) -> None:
        """Check shapes and ranges.

        Raises:
            ValueError: naming the parameter, its value and what is allowed.
        """
        shape = self.cosine.shape
        expect(
            len(shape) == 2 and self.cosine.size > 0, f"cosine has shape {shape}; expected [tokens, pairs]"
        )
        expect(self.sine.shape == shape, f"sine has shape {self.sine.shape}; expected {shape}")
        for name in ("cosine", "sine"):
            most = int(np.abs(getattr(self, name).astype(np.int64)).max())
            expect(most <= 1 << FRACTION, f"{name} reaches ±{most}; allowed is up to {1 << FRACTION}")
        expect(
            self.shift.ndim == 1 and self.shift.size > 0,
            f"shift has shape {self.shift.shape}; expected (channels,) or (1,)",
        )
        expect(
            bool(((self.shift >= SHIFTS[0]) & (self.shift <= SHIFTS[1])).all()),
            f"shift leaves {SHIFTS[0]}..{SHIFTS[1]}",
        )
        expect(self.output_bits in (8, 16), f"output_bits is {self.output_bits}; allowed are 8 and 16")

    def tables(self, channels: int) -> tuple[IntArray, IntArray]:
        """Cosines and sines of every pair of channels: int64 [N, C/2] each."""
        repeats = channels // 2 // self.cosine.shape[1]
        return tuple(np.tile(each.astype(np.int64), (1, repeats)) for each in (self.cosine, self.sine))  # type: ignore[return-value]

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: int16 [B, N, C] → [B, N, C]."""
        (x,) = inputs
        wide = x.astype(np.int64)
        a, b = wide[..., 0::2], wide[..., 1::2]
        cosine, sine = self.tables(x.shape[-1])
        turned = np.stack([a * cosine - b * sine, a * sine + b * cosine], axis=-1).reshape(x.shape)
        return requantize(turned, self.shift, self.output_bits)

    def output_shape(self, *shapes: Shape) -> Shape:
        """[N, C] → the same."""
        (x,) = shapes
        tokens, pairs = self.cosine.shape
        expect(
            len(x) == 2 and x[0] == tokens and x[1] % (2 * pairs) == 0,
            f"input has shape {list(x)}; the tables want [{tokens}, a multiple of {2 * pairs}]",
        )
        expect(
            self.shift.size in (1, x[1]),
            f"shift is given for {self.shift.size} channels; the input has {x[1]}",
        )
        return x

    def output_format(self) -> tuple[int, bool]:
        """Signed, ``output_bits`` wide."""
        return self.output_bits, True

    def bounds(self, *ranges: Range) -> Bounds:
        """The sum of two products, from the actual tables, with the rounding half."""
        most = max(-ranges[0][0], ranges[0][1], 0)
        cosine, sine = self.cosine.astype(np.int64), self.sine.astype(np.int64)
        reach = most * int((np.abs(cosine) + np.abs(sine)).max())
        half = (1 << int(self.shift.max())) >> 1
        ends = shift_round(np.array([[-reach], [reach]]), np.unique(self.shift))
        return Bounds(
            clamp_range((int(ends.min()), int(ends.max())), self.output_bits),
            {"accumulator": (-reach, reach + half)},
        )
