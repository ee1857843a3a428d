"""Convert pixels to tokens, and tokens to one vector: data movement, constants and sums."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from p2vit.numerics.operator import ANY_INTEGER, INT8, Bounds, Operator, Shape, expect
from p2vit.numerics.requantize import requantize
from p2vit.numerics.rounding import IntArray, Range, clamp_range, saturate, shift_range, storage_dtype

#: Largest shift of a sum of tokens.
LARGEST_SUM_SHIFT = 30


@dataclass(frozen=True, eq=False)
class Patchify(Operator):
    """Cut an image into flattened patches and subtract 128 from its pixels, which inverts the top bit. Exact.

    A patch is flattened in (row, column, channel) order. Patches are in row-major order.

    Attributes:
        patch_size: Side of a patch in pixels.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((8, False),)

    patch_size: int

    def validate(self) -> None:
        """Check the patch size.

        Raises:
            ValueError: The patch size is below 1.
        """
        expect(self.patch_size >= 1, f"patch_size is {self.patch_size}; allowed are 1 and more")

    def compute(self, *inputs: IntArray) -> IntArray:
        """pixels: uint8 [B, H, W, 3] → int8 [B, (H/p)·(W/p), p·p·3]."""
        (pixels,) = inputs
        batch, height, width, channels = pixels.shape
        p = self.patch_size
        grid = pixels.reshape(batch, height // p, p, width // p, p, channels).transpose(0, 1, 3, 2, 4, 5)
        patches = grid.reshape(batch, (height // p) * (width // p), p * p * channels)
        return (patches.astype(np.int16) - 128).astype(np.int8)

    def output_shape(self, *shapes: Shape) -> Shape:
        """[H, W, 3] → [(H/p)·(W/p), p·p·3]."""
        (pixels,) = shapes
        p = self.patch_size
        expect(
            len(pixels) == 3 and pixels[0] % p == 0 and pixels[1] % p == 0,
            f"pixels have shape {list(pixels)}; expected [height, width, channels] in multiples of {p}",
        )
        return ((pixels[0] // p) * (pixels[1] // p), p * p * pixels[2])

    def output_format(self) -> tuple[int, bool]:
        """int8."""
        return 8, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Subtract 128 from the range of the input."""
        return Bounds((ranges[0][0] - 128, ranges[0][1] - 128), {})


@dataclass(frozen=True, eq=False)
class AssembleTokens(Operator):
    """Put the prefix tokens (class, registers) before the patch tokens and add the position embedding.

    ``y = concat(prefix, saturate(x + position))``. All tensors have the exponents of the residual stream. Exact unless
    a value saturates.

    Attributes:
        prefix: [P, C], P ≥ 0: prefix tokens including their position embeddings.
        position: [N, C]: position embeddings of the patch tokens.
        output_bits: Width of the residual stream, 8 or 16.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((16, True),)

    prefix: IntArray = field(metadata=ANY_INTEGER)
    position: IntArray = field(metadata=ANY_INTEGER)
    output_bits: int = 16

    def validate(self) -> None:
        """Check shapes and ranges.

        Raises:
            ValueError: A parameter is not allowed. The message names it, its value and the allowed values.
        """
        expect(self.output_bits in (8, 16), f"output_bits is {self.output_bits}; allowed are 8 and 16")
        expect(
            self.prefix.ndim == 2 and self.position.ndim == 2,
            "prefix and position must be [tokens, channels]",
        )
        expect(
            self.prefix.shape[1] == self.position.shape[1],
            f"prefix has {self.prefix.shape[1]} channels, position {self.position.shape[1]}",
        )
        expect(
            self.position.size > 0, f"position has shape {self.position.shape}; both sides must be 1 or more"
        )
        dtype = storage_dtype(self.output_bits, signed=True)
        for name in ("prefix", "position"):
            value = getattr(self, name)
            expect(value.dtype == dtype, f"{name} is {value.dtype}; expected {dtype}")

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: [B, N, C] → [B, P + N, C]."""
        (x,) = inputs
        patches = saturate(x.astype(np.int64) + self.position, self.output_bits)
        prefix = np.broadcast_to(self.prefix.astype(np.int64), (x.shape[0], *self.prefix.shape))
        return np.concatenate([prefix, patches], axis=1).astype(storage_dtype(self.output_bits, signed=True))

    def output_shape(self, *shapes: Shape) -> Shape:
        """[N, C] → [P + N, C]."""
        (x,) = shapes
        expect(
            x == self.position.shape,
            f"input has shape {list(x)}; the position embedding {list(self.position.shape)}",
        )
        return (self.prefix.shape[0] + x[0], x[1])

    def output_format(self) -> tuple[int, bool]:
        """Return the output format: signed, ``output_bits`` wide."""
        return self.output_bits, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Return the range over the sums with the actual positions and over the actual prefix."""
        low = ranges[0][0] + int(self.position.min())
        high = ranges[0][1] + int(self.position.max())
        out = clamp_range((low, high), self.output_bits)
        if self.prefix.size:
            out = (min(out[0], int(self.prefix.min())), max(out[1], int(self.prefix.max())))
        return Bounds(out, {"accumulator": (low, high)})


@dataclass(frozen=True, eq=False)
class SelectToken(Operator):
    """Select one token, such as the class token. Exact.

    Attributes:
        index: Index of the token, from 0.
    """

    index: int = 0

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: [B, N, C] → [B, 1, C]."""
        (x,) = inputs
        return np.ascontiguousarray(x[:, self.index : self.index + 1])

    def output_shape(self, *shapes: Shape) -> Shape:
        """[N, C] → [1, C]."""
        (x,) = shapes
        expect(
            len(x) == 2 and 0 <= self.index < x[0], f"token {self.index} is not among the tokens of {list(x)}"
        )
        return (1, x[1])

    def output_format(self) -> tuple[int, bool]:
        """Return (0, True): 0 bits means the format of the input."""
        return 0, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Return the range of the input."""
        return Bounds(ranges[0], {})


@dataclass(frozen=True, eq=False)
class SumTokens(Operator):
    """Sum tokens, ``y = requantize(Σ_n x_n)``, for average pooling. The next weights absorb the factor 1/N.

    Error: half an output step.

    Attributes:
        first: Index of the first summed token. The prefix tokens before it are skipped.
        count: N, number of summed tokens, at most 2^15.
        shift: int8 [C] or [1], right shift of the sum, 0 to 30.
        output_bits: 8 or 16.
    """

    accepts: ClassVar[tuple[tuple[int, bool], ...]] = ((16, True),)

    first: int
    count: int
    shift: IntArray = field(metadata=INT8)
    output_bits: int = 8

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ValueError: A parameter is not allowed. The message names it, its value and the allowed values.
        """
        expect(self.first >= 0, f"first is {self.first}; allowed are 0 and more")
        expect(1 <= self.count <= 1 << 15, f"count is {self.count}; allowed are 1 to 32768")
        expect(
            self.shift.ndim == 1 and self.shift.size > 0,
            f"shift has shape {self.shift.shape}; expected (channels,) or (1,)",
        )
        expect(
            bool(((self.shift >= 0) & (self.shift <= LARGEST_SUM_SHIFT)).all()),
            f"shift leaves 0..{LARGEST_SUM_SHIFT}",
        )
        expect(self.output_bits in (8, 16), f"output_bits is {self.output_bits}; allowed are 8 and 16")

    def compute(self, *inputs: IntArray) -> IntArray:
        """x: [B, N, C] → [B, 1, C]."""
        (x,) = inputs
        total = x[:, self.first : self.first + self.count].astype(np.int64).sum(axis=1, keepdims=True)
        return requantize(total, self.shift, self.output_bits)

    def output_shape(self, *shapes: Shape) -> Shape:
        """[N, C] → [1, C]."""
        (x,) = shapes
        expect(
            len(x) == 2 and self.first + self.count <= x[0],
            f"tokens {self.first}..{self.first + self.count - 1} are not all among the tokens of {list(x)}",
        )
        expect(
            self.shift.size in (1, x[1]),
            f"shift is given for {self.shift.size} channels; the input has {x[1]}",
        )
        return (1, x[1])

    def output_format(self) -> tuple[int, bool]:
        """Return the output format: signed, ``output_bits`` wide."""
        return self.output_bits, True

    def bounds(self, *ranges: Range) -> Bounds:
        """Return the ranges of the sum of N tokens, including the half that rounding adds, and of the output."""
        total = (self.count * min(ranges[0][0], 0), self.count * max(ranges[0][1], 0))
        half = (1 << int(self.shift.max())) >> 1
        return Bounds(
            clamp_range(shift_range(total, self.shift), self.output_bits),
            {"accumulator": (total[0], total[1] + half)},
        )
