"""Operators on one number at a time: table, residual add, affine."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.linear import unknown_exponent
from p2vit.numerics.operator import INT8, INT16, INT32_ARRAY, Bounds, Operator, Shape, expect
from p2vit.numerics.rounding import (
    IntArray,
    Range,
    clamp_range,
    requantize,
    shift_range,
    shift_round,
    storage_dtype,
)


@dataclass(frozen=True, eq=False)
class Lookup(Operator):
    """``y = table[group][x + 128]``: any function of an 8-bit number, such as GELU or QuickGELU.

    The table is made from the exact function, so the only error is the rounding of its entries: half an
    output step. Channels fall into groups of neighbours; each group has a table, so its channels may have
    exponents and an offset of their own: channels with small values keep their precision beside outliers.

    Attributes:
        table: int8 [G, 256], entry [g, i] for the input i − 128 in group g; G divides the channels, and
            group g holds channels g·C/G to (g + 1)·C/G − 1.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((8, True),)

    table: IntArray = field(metadata=INT8)

    def validate(self) -> None:
        """Check the table.

        Raises:
            ValueError: a table that has not 256 entries for each of one or more groups.
        """
        shape = self.table.shape
        expect(
            len(shape) == 2 and shape[0] >= 1 and shape[1] == 256,
            f"table has shape {shape}; expected (groups, 256)",
        )

    @property
    def groups(self) -> int:
        """G."""
        return int(self.table.shape[0])

    def group_of(self, channels: int) -> IntArray:
        """Group of each channel: int64 [C]."""
        return np.arange(channels) // (channels // self.groups)

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: int8 [B, ..., C] → int8, the same shape."""
        (x,) = inputs
        return self.table[self.group_of(x.shape[-1]), x.astype(np.int64) + 128]

    def output_shape(self, *shapes: Shape) -> Shape:
        """The input's."""
        (x,) = shapes
        expect(
            len(x) > 0 and x[-1] % self.groups == 0,
            f"input has shape {list(x)}; its channels must be a multiple of the {self.groups} tables",
        )
        return x

    def output_format(self) -> tuple[int, bool]:
        """int8."""
        return 8, True

    def bounds(self, *ranges: Range) -> Bounds:
        """The table's extremes over the input's range."""
        low, high = clamp_range(ranges[0], 8)
        reached = self.table[:, low + 128 : high + 129]
        return Bounds((int(reached.min()), int(reached.max())), {})


@dataclass(frozen=True, eq=False)
class Add(Operator):
    """Residual add of two tensors with exponents of their own.

    ``y = saturate(round(((a << left_a) + (b << left_b)) · 2^-shift))``: both operands are aligned to the
    finer exponent, added exactly, and re-quantized once. All zero where the exponents agree. Error: none
    then, otherwise half an output step.

    Attributes:
        left_a: int8 [C] or [1], left shift of the first operand, 0 to 15.
        left_b: int8 [C] or [1], left shift of the second operand, 0 to 15.
        shift: int8 [C] or [1], right shift of the sum, 0 to 15.
        output_bits: 8 or 16.
    """

    arity: ClassVar[int] = 2
    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((16, True), (16, True))

    left_a: IntArray = field(metadata=INT8)
    left_b: IntArray = field(metadata=INT8)
    shift: IntArray = field(metadata=INT8)
    output_bits: int = 16

    def validate(self) -> None:
        """Check shapes and ranges.

        Raises:
            ValueError: naming the parameter, its value and what is allowed.
        """
        for name in ("left_a", "left_b", "shift"):
            value = getattr(self, name)
            expect(
                value.ndim == 1 and value.size > 0,
                f"{name} has shape {value.shape}; expected (channels,) or (1,)",
            )
            expect(bool(((value >= 0) & (value <= 15)).all()), f"{name} leaves 0..15")
        expect(self.output_bits in (8, 16), f"output_bits is {self.output_bits}; allowed are 8 and 16")

    def compute(self, *inputs: IntArray) -> IntArray:
        """a, b: [B, N, C] → [B, N, C]."""
        a, b = inputs
        total = shift_round(a, -self.left_a.astype(np.int64)) + shift_round(b, -self.left_b.astype(np.int64))
        return requantize(total, self.shift, self.output_bits)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Two equal shapes → the same."""
        a, b = shapes
        expect(a == b, f"the operands have shapes {list(a)} and {list(b)}; expected equal ones")
        widths = {self.left_a.size, self.left_b.size, self.shift.size} - {1}
        expect(
            len(a) > 0 and widths <= {a[-1]},
            f"shifts are given for {sorted(widths)} channels; the operands have {a[-1]}",
        )
        return a

    def output_format(self) -> tuple[int, bool]:
        """Signed, ``output_bits`` wide."""
        return self.output_bits, True

    def bounds(self, *ranges: Range) -> Bounds:
        """The exact sum, and what saturation leaves of it."""
        a = shift_range(ranges[0], -self.left_a.astype(np.int64))
        b = shift_range(ranges[1], -self.left_b.astype(np.int64))
        total = (a[0] + b[0], a[1] + b[1])
        half = (1 << int(self.shift.max())) >> 1
        return Bounds(
            clamp_range(shift_range(total, self.shift), self.output_bits),
            {"accumulator": (total[0], total[1] + half)},
        )


@dataclass(frozen=True, eq=False)
class Affine(Operator):
    """``y = requantize(x · gain + bias)`` per channel: the gain and bias of a LayerNorm that feeds no linear
    layer.

    Error: half an output step, plus the rounding of the gain.

    Attributes:
        gain: int16 [C].
        bias: int32 [C], at the product's exponent.
        shift: int8 [C], right shift from product to output, −8 to 30.
        output_bits: 8 or 16.
        accumulator_exponent: int8 [C], what a 1 in the product stands for: the input's exponent + the gain's.
            As in
            ``Linear``: for the audit only, empty if unknown.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((16, True),)

    gain: IntArray = field(metadata=INT16)
    bias: IntArray = field(metadata=INT32_ARRAY)
    shift: IntArray = field(metadata=INT8)
    output_bits: int = 8
    accumulator_exponent: IntArray = field(default_factory=unknown_exponent, metadata=INT8)

    def validate(self) -> None:
        """Check shapes and ranges.

        Raises:
            ValueError: naming the parameter, its value and what is allowed.
        """
        shape = self.gain.shape
        expect(len(shape) == 1 and self.gain.size > 0, f"gain has shape {shape}; expected (channels,)")
        for name in ("bias", "shift"):
            given = getattr(self, name).shape
            expect(given == shape, f"{name} has shape {given}; expected {shape}")
        known = self.accumulator_exponent.shape
        expect(
            known in (shape, (0,)),
            f"accumulator_exponent has shape {known}; expected {self.gain.shape}, or (0,)",
        )
        expect(bool(((self.shift >= -8) & (self.shift <= 30)).all()), "shift leaves −8..30")
        expect(self.output_bits in (8, 16), f"output_bits is {self.output_bits}; allowed are 8 and 16")

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: int16 [B, ..., C] → [B, ..., C]."""
        (x,) = inputs
        product = x.astype(np.int64) * self.gain.astype(np.int64) + self.bias.astype(np.int64)
        return requantize(product, self.shift, self.output_bits)

    def output_shape(self, *shapes: Shape) -> Shape:
        """[..., C] → the same."""
        (x,) = shapes
        expect(
            len(x) > 0 and x[-1] == self.gain.size,
            f"input has shape {list(x)}; the gain has {self.gain.size} channels",
        )
        return x

    def output_format(self) -> tuple[int, bool]:
        """Signed, ``output_bits`` wide."""
        return self.output_bits, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Product and bias together, with the left shift or the rounding half."""
        gain, bias = self.gain.astype(np.int64), self.bias.astype(np.int64)
        ends = np.stack([gain * ranges[0][0], gain * ranges[0][1]])
        low, high = ends.min(axis=0) + bias, ends.max(axis=0) + bias
        half = (np.int64(1) << np.maximum(self.shift.astype(np.int64), 0)) >> 1
        reach = (
            int(shift_round(low, self.shift).min()),
            int(shift_round(high, self.shift).max()),
        )
        left = np.maximum(-self.shift.astype(np.int64), 0)
        least = min(int((low << left).min()), int(low.min()), int(ends.min()), int(bias.min()))
        most = max(int((high << left).max()), int((high + half).max()), int(ends.max()), int(bias.max()))
        return Bounds(clamp_range(reach, self.output_bits), {"accumulator": (least, most)})

    @property
    def storage(self) -> np.dtype:
        """Dtype of the output."""
        return storage_dtype(self.output_bits, signed=True)
