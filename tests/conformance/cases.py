"""One row per operator: programs that put it through odd sizes, every width, and the ends of what it may hold.

A row builds a program around many operators of its class, fed with constants, so that every back-end that runs a
program runs the row: what is compared is every tensor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    ConstantTokens,
    GatherTokens,
    LayerNorm,
    Linear,
    Lookup,
    Multiply,
    Operator,
    Patchify,
    Rotary,
    ScoreBias,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.numerics.layernorm import rsqrt_table, squares_shift
from p2vit.numerics.rotary import FRACTION
from p2vit.numerics.rounding import INT32, IntArray
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing

FORMS = ("linear", "log2")
FILLS = ("random", "low", "high", "mixed")


def filled(rng: np.random.Generator, shape: tuple[int, ...], fill: str, dtype: Any = np.int8) -> IntArray:
    """Integers over a dtype's whole range, or at its ends."""
    info = np.iinfo(dtype)
    if fill == "random":
        return rng.integers(info.min, info.max + 1, shape).astype(dtype)
    if fill == "mixed":
        return np.where(rng.integers(0, 2, shape), info.min, info.max).astype(dtype)
    return np.full(shape, info.min if fill == "low" else info.max, dtype)


class Bench:
    """Builds a program around operators; what they read are constants."""

    def __init__(self, seed: int, image: tuple[int, int] = (1, 1)) -> None:
        self.rng = np.random.default_rng(seed)
        self.image = image
        self.builder = ProgramBuilder((*image, 3))
        self.dummy = self.add(Patchify(1), PIXELS)

    def add(self, operator: Operator, *inputs: str) -> str:
        """Append an operator; its tensor is named after its class."""
        name = f"{type(operator).__name__}.{len(self.builder.nodes)}"
        self.builder.add(name, operator, list(inputs), 0)
        return name

    def feed(self, x: IntArray) -> str:
        """A tensor with these int8 or int16 tokens, for every image."""
        return self.add(ConstantTokens(x), self.dummy)

    def filled(self, shape: tuple[int, int], fill: str, dtype: Any = np.int8) -> str:
        """A tensor fed with :func:`filled`."""
        return self.feed(filled(self.rng, shape, fill, dtype))

    def shifts(self, low: int, high: int, count: int) -> IntArray:
        """Shifts from ``low`` to ``high``, both ends among them."""
        shift = self.rng.integers(low, high + 1, count)
        shift[0], shift[-1] = low, high
        return shift.astype(np.int8)

    def program(self) -> IntegerProgram:
        """Everything that was added."""
        last = self.builder.nodes[-1].name
        preprocessing = Preprocessing(image_size=self.image)
        return IntegerProgram(tuple(self.builder.nodes), self.builder.tensors, last, last, preprocessing)

    def attention(
        self,
        tokens: int,
        heads: int,
        dim: int,
        *,
        form: str = "linear",
        fill: str = "random",
        windows: int = 1,
        scores: IntArray | None = None,
        regions: IntArray | None = None,
        softmax_shift: IntArray | None = None,
        shift: IntArray | None = None,
        guard: int = 14,
        bits: int = 8,
    ) -> None:
        """Scores, a bias if there is one, softmax and values.

        Args:
            tokens: Of one window.
            heads: H.
            dim: Channels of a head.
            form: Of the softmax.
            fill: Of queries, keys and values.
            windows: W.
            scores: int32 [H, tokens, tokens]: with queries of 0 these are the scores; otherwise a bias on them.
            regions: int8 [W, tokens], for a mask.
            softmax_shift: [H].
            shift: Of the values, [H · dim].
            guard: Of the values.
            bits: Of the output.
        """
        size = (windows * tokens, heads * dim)
        given = scores is not None and regions is None
        q = self.feed(np.zeros(size, np.int8)) if given else self.filled(size, "random")
        k, v = self.filled(size, fill), self.filled(size, fill)
        at = self.add(Scores(heads, dim, windows=windows), q, k)
        if scores is not None and regions is None:
            at = self.add(ScoreBias(scores.astype(np.int32)), at)
        elif scores is not None:
            masked = np.full(heads, -(1 << 29), np.int32)
            at = self.add(ScoreBias(scores.astype(np.int32), regions, masked), at)
        shifts = np.zeros(heads, np.int8) if softmax_shift is None else softmax_shift
        at = self.add(Softmax(shifts, form), at)  # type: ignore[arg-type]
        narrow = self.shifts(-4, 2, heads * dim) if shift is None else shift
        self.add(AttentionValues(heads, narrow, form, guard, bits, windows), at, v)  # type: ignore[arg-type]


def patchify(bench: Bench) -> None:
    for size in (1, 2, 3, 6):
        bench.add(Patchify(size), PIXELS)


def linear(bench: Bench) -> None:
    rng = bench.rng
    for rows, inputs, outputs in ((1, 1, 1), (5, 3, 17), (7, 13, 70), (3, 130, 5), (2, 65, 64)):
        for weight_bits in (8, 4, 2):
            for bits in (8, 16, 32):
                fill = str(rng.choice(FILLS))
                top = 1 << (weight_bits - 1)
                weight = np.clip(filled(rng, (outputs, inputs), fill), -top, top - 1)
                shift = np.zeros(outputs, int) if bits == 32 else bench.shifts(0, 20, outputs)
                bias = rng.integers(-(1 << 20), 1 << 20, outputs)
                operator = Linear(weight, bias, shift, weight_bits, bits)
                bench.add(operator, bench.filled((rows, inputs), str(rng.choice(FILLS))))
    left = Linear(rng.integers(-8, 8, (6, 9)), rng.integers(-99, 99, 6), bench.shifts(-17, 31, 6), 4, 16)
    bench.add(left, bench.filled((4, 9), "random"))
    # The accumulator reaches both ends of int32, its rounding half included.
    weight = filled(rng, (1, 11), "random").astype(int)
    reach = np.maximum(weight * 127, weight * -128).sum(), np.minimum(weight * 127, weight * -128).sum()
    x = np.where(np.stack([weight[0] > 0, weight[0] <= 0]), 127, -128).astype(np.int8)
    for bits, shift in ((8, 24), (16, 15), (8, 1), (16, 31), (32, 0)):
        half = (1 << shift) >> 1
        bias = np.array([INT32[1] - reach[0] - half, INT32[0] - reach[1]])
        bench.add(Linear(np.repeat(weight, 2, 0), bias, np.full(2, shift), 8, bits), bench.feed(x))


def add(bench: Bench) -> None:
    for bits in (8, 16):
        for a, b in ((np.int16, np.int16), (np.int16, np.int8), (np.int8, np.int8)):
            for size, fills in ((9, ("random", "random")), (1, ("low", "low")), (70, ("high", "low"))):
                operands = [
                    bench.filled((5, size), fill, dtype) for fill, dtype in zip(fills, (a, b), strict=True)
                ]
                lefts = (bench.shifts(0, 14, size), bench.shifts(0, 14, size))
                bench.add(Add(*lefts, bench.shifts(0, 15, size), bits), *operands)
        one = np.array([15], np.int8)
        ends = [bench.filled((2, 3), fill, np.int16) for fill in ("low", "high")]
        for operand in ends:  # 2^30 and 2^29 and the rounding half
            bench.add(Add(one, one - 1, one, bits), operand, operand)


def affine(bench: Bench) -> None:
    rng = bench.rng
    for bits in (8, 16):
        for size in (1, 9, 33):
            for fill in FILLS:
                gain = filled(rng, (size,), fill, np.int16)
                # The product is at most 2^30: with such a bias the sum reaches the ends of int32.
                bias = rng.choice([-(1 << 30), (1 << 30) - 1, 0, 12345], size)
                shift = bench.shifts(0, 29, size)
                bias = np.sign(bias) * np.maximum(np.abs(bias) - (1 << 29), 0) if shift.max() > 1 else bias
                bench.add(Affine(gain, bias, shift, bits), bench.filled((4, size), fill, np.int16))
        bench.add(
            Affine(np.full(5, 3), rng.integers(-50, 50, 5), bench.shifts(-8, 0, 5), bits),
            bench.filled((4, 5), "random"),
        )


def rotary(bench: Bench) -> None:
    rng = bench.rng
    one = 1 << FRACTION
    for bits in (8, 16):
        for dtype in (np.int16, np.int8):
            # Tables for one head and for two, odd numbers of pairs, one shift and one per channel.
            for tokens, pairs, repeats, fill in ((1, 1, 1, "low"), (5, 3, 2, "random"), (7, 8, 3, "mixed")):
                angle = rng.uniform(0, 2 * np.pi, (tokens, pairs))
                angle[0] = 0  # a class token does not turn
                tables = [np.floor(f(angle) * one + 0.5).astype(np.int16) for f in (np.cos, np.sin)]
                size = 2 * pairs * repeats
                shift = bench.shifts(0, 30, size) if repeats > 1 else np.array([FRACTION + 2], np.int8)
                bench.add(Rotary(*tables, shift, bits), bench.filled((tokens, size), fill, dtype))
        # Both terms at the ends of what the tables and the inputs may hold.
        for fill in FILLS:
            signs = [np.where(rng.integers(0, 2, (4, 2)), one, -one).astype(np.int16) for _ in range(2)]
            for shift in (0, 1, 22, 30):
                operator = Rotary(*signs, np.full(4, shift, np.int8), bits)
                bench.add(operator, bench.filled((4, 4), fill, np.int16))


def multiply(bench: Bench) -> None:
    rng = bench.rng
    for bits in (8, 16):
        for dtype in (np.int8, np.int16):
            for size, fills in ((1, ("low", "low")), (9, ("random", "mixed")), (70, ("high", "low"))):
                offset = filled(rng, (size,), str(rng.choice(FILLS)), np.int16)
                operator = Multiply(offset, bench.shifts(0, 30, size), bits)
                a, b = (
                    bench.filled((5, size), fill, kind)
                    for fill, kind in zip(fills, (np.int8, dtype), strict=True)
                )
                bench.add(operator, a, b)
            one = np.array([7], np.int8)
            plain = Multiply(np.array([128], np.int16), one, bits)
            bench.add(plain, bench.filled((3, 5), "random"), bench.filled((3, 5), "random", dtype))


def assemble_tokens(bench: Bench) -> None:
    for bits in (8, 16):
        dtype = np.dtype(f"int{bits}")
        for prefix, tokens, size in ((0, 1, 1), (3, 5, 9), (1, 7, 33)):
            for fill in FILLS:
                parts = (filled(bench.rng, (n, size), fill, dtype) for n in (prefix, tokens))
                bench.add(AssembleTokens(*parts, bits), bench.filled((tokens, size), fill, dtype))


def select_token(bench: Bench) -> None:
    for dtype in (np.int8, np.int16):
        x = bench.filled((5, 17), "random", dtype)
        for index in (0, 2, 4):
            bench.add(SelectToken(index), x)


def gather_tokens(bench: Bench) -> None:
    rng = bench.rng
    for dtype in (np.int8, np.int16):
        for tokens, size, side, least in ((7, 9, 1, 0), (5, 17, 4, -1), (1, 1, 1, -1)):
            index = rng.integers(least, tokens, (6, side))
            index[0, 0], index[-1, -1] = least, tokens - 1
            fill = filled(rng, (size,), "mixed", dtype)
            bench.add(GatherTokens(index, fill), bench.filled((tokens, size), "random", dtype))


def constant_tokens(bench: Bench) -> None:
    for dtype in (np.int8, np.int16):
        for fill, shape in (("random", (1, 1)), ("low", (3, 17)), ("high", (2, 65))):
            bench.filled(shape, fill, dtype)


def sum_tokens(bench: Bench) -> None:
    for bits in (8, 16):
        for dtype in (np.int8, np.int16):
            for tokens, fill in ((3, "random"), (300, "low"), (300, "high"), (41, "mixed")):
                x = bench.filled((tokens + 2, 9), fill, dtype)
                bench.add(SumTokens(1, tokens, bench.shifts(0, 30, 9), bits), x)
                bench.add(SumTokens(2, 1, np.array([0], np.int8), bits), x)


def layernorm(bench: Bench) -> None:
    rng = bench.rng
    epsilons = ((0, -14), (1, -2), (1 << 20, -2), (1 << 29, 5), (1 << 29, 31), (77, 16))
    for channels in (2, 3, 13, 48, 130):
        rows = np.stack(
            [filled(rng, (channels,), fill, np.int16) for fill in FILLS]
            + [rng.integers(-3, 4, channels), np.zeros(channels, int), (np.arange(channels) == 0) * 32767]
        ).astype(np.int16)
        table, fraction = rsqrt_table(channels)
        for bits, epsilon in zip((8, 16) * 3, epsilons, strict=True):
            none = np.zeros(channels, np.int8)
            shift = bench.shifts(14, 30, channels)
            operator = LayerNorm(channels, none, table, shift, *epsilon, output_bits=bits)
            bench.add(operator, bench.feed(rows))
        for input_bits, dtype in ((4, np.int8), (9, np.int16), (16, np.int8)):
            likely = np.full(channels, np.clip(fraction + squares_shift(channels) - 4, 14, 30))
            aligning = LayerNorm(channels, bench.shifts(0, 15, channels), table, likely, 5, -3, input_bits)
            bench.add(aligning, bench.filled((4, channels), "random", dtype))


def lookup(bench: Bench) -> None:
    every = np.arange(-128, 128, dtype=np.int8)
    for groups, channels in ((1, 1), (1, 17), (4, 12), (2, 128), (8, 8)):
        table = Lookup(bench.rng.integers(-128, 128, (groups, 256)))
        bench.add(table, bench.feed(np.repeat(every[:, None], channels, 1)))
        bench.add(table, bench.filled((3, channels), "mixed"))


def scores(bench: Bench) -> None:
    for form in FORMS:
        for tokens, heads, dim in ((1, 1, 1), (5, 3, 7), (17, 2, 13), (3, 1, 130)):
            bench.attention(tokens, heads, dim, form=form, fill=str(bench.rng.choice(FILLS)))
        bench.attention(5, 2, 3, form=form, windows=3)


def score_bias(bench: Bench) -> None:
    rng = bench.rng
    for form in FORMS:
        for windows, tokens, heads, dim in ((1, 7, 3, 4), (3, 4, 2, 5), (2, 9, 1, 8)):
            bias = rng.integers(-(1 << 20), 1 << 20, (heads, tokens, tokens))
            regions = rng.integers(0, 2, (windows, tokens)).astype(np.int8)
            bench.attention(tokens, heads, dim, form=form, windows=windows, scores=bias, regions=regions)
            bench.attention(tokens, heads, dim, form=form, windows=windows, scores=bias)


def softmax(bench: Bench) -> None:
    rng = bench.rng
    for form in FORMS:
        for tokens, spread in ((1, 5), (7, 3000), (17, 1 << 22), (33, 70000), (9, 1 << 29)):
            given = rng.integers(-spread, spread, (3, tokens, tokens))
            given[..., 0] = -spread
            # The distance is at most 2 · spread: the largest left shift that leaves it inside int32.
            left = min(24, 30 - (2 * spread).bit_length())
            for shift in ((-left, -left // 2, 0), (0, 5, 24)):
                bench.attention(tokens, 3, 2, form=form, scores=given, softmax_shift=np.array(shift, np.int8))
        # Every code, with no shift: distances in steps finer than the table's.
        fine = -np.arange(65 * 65).reshape(1, 65, 65) * 16
        bench.attention(65, 1, 3, form=form, scores=fine - fine.min(axis=-1, keepdims=True))
        bench.attention(9, 2, 2, form=form, scores=np.full((2, 9, 9), 7))  # ties


def attention_values(bench: Bench) -> None:
    rng = bench.rng
    for form in FORMS:
        for tokens, fill in ((1, "random"), (2, "low"), (13, "high"), (33, "mixed"), (129, "low")):
            bits = 8 if tokens % 3 else 16
            # Down to the largest distance, so that every code is there; the first key alone is near the maximum.
            given = rng.integers(-80000, 1, (2, tokens, tokens))
            given[..., 1:] = np.minimum(given[..., 1:], given[..., :1] - 20000)
            for guard in (8, 11, 15) if form == "log2" else (15,):
                shift = bench.shifts(-16, 8, 6)
                shift[1:5] = (-8, -9, -4, 0)
                bench.attention(
                    tokens, 2, 3, form=form, fill=fill, scores=given, shift=shift, guard=guard, bits=bits
                )


@dataclass(frozen=True)
class Row:
    """An operator's cases.

    Attributes:
        build: Adds them to a bench.
        image: Height and width of the pixels, where the operator reads them.
        hardware: Name of the driver in ``support.rtl_operators``; empty: the reason is ``without``.
        without: Why no hardware module computes the operator.
    """

    build: Callable[[Bench], None]
    image: tuple[int, int] = (1, 1)
    hardware: str = ""
    without: str = ""

    def program(self, seed: int = 0) -> IntegerProgram:
        """The row's program."""
        bench = Bench(seed, self.image)
        self.build(bench)
        return bench.program()


MOVES = "the load engine moves bytes; no arithmetic is left"
TABLE: dict[type[Operator], Row] = {
    Patchify: Row(patchify, image=(12, 18), without=MOVES),
    Linear: Row(linear, hardware="linear"),
    AssembleTokens: Row(assemble_tokens, hardware="assemble"),
    SelectToken: Row(select_token, without=MOVES),
    GatherTokens: Row(gather_tokens, without="no machine runs windows yet"),
    ConstantTokens: Row(constant_tokens, without=MOVES),
    SumTokens: Row(sum_tokens, hardware="total"),
    Add: Row(add, hardware="add"),
    Affine: Row(affine, hardware="affine"),
    Rotary: Row(rotary, hardware="rotary"),
    Multiply: Row(multiply, hardware="multiply"),
    LayerNorm: Row(layernorm, hardware="layernorm"),
    Lookup: Row(lookup, hardware="lookup"),
    Scores: Row(scores, hardware="scores"),
    ScoreBias: Row(score_bias, without="no machine runs windows yet"),
    Softmax: Row(softmax, hardware="softmax"),
    AttentionValues: Row(attention_values, hardware="attention_values"),
}
