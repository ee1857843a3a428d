"""Programs whose registers come as close to 32 bits as they can: weights, biases and inputs chosen by sign.

A photo does not matter: the operands are constant tokens, so that every number can be chosen.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    ConstantTokens,
    LayerNorm,
    Linear,
    Multiply,
    Operator,
    Patchify,
    Rotary,
    ScoreBias,
    Scores,
    Softmax,
    SumTokens,
)
from p2vit.numerics.layernorm import rsqrt_table
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing

TOP, BOTTOM = (1 << 31) - 1, -(1 << 31)


@dataclass(frozen=True)
class Extreme:
    """A program that ends in the operator whose registers it drives.

    Attributes:
        program: Its last nodes are that operator, and what an engine wants behind it.
        node: Name of the operator's node.
        reached: Registers that reach an end of their proven range exactly; others stay inside.
    """

    program: IntegerProgram
    node: str
    reached: tuple[str, ...] = ()


class Maker:
    """Appends nodes whose exponents follow from nothing: the integers alone are looked at."""

    def __init__(self) -> None:
        self.builder = ProgramBuilder((1, 1, 3))
        self.builder.add("patches", Patchify(1), [PIXELS], 0, 128)

    def tokens(self, name: str, values: np.ndarray) -> str:
        """Constant tokens [T, C], int8 or int16."""
        self.builder.add(name, ConstantTokens(values), ["patches"], 0)
        return name

    def add(self, name: str, operator: Operator, *inputs: str) -> str:
        """Any node."""
        self.builder.add(name, operator, list(inputs), 0)
        return name

    def attention(self, q: str, k: str, v: str, like: AttentionValues, softmax_shift: int = 0) -> None:
        """Scores, softmax and values, one head."""
        dim = self.builder.tensors[q].shape[1]
        self.add("scores", Scores(1, dim), q, k)
        self.add("softmax", Softmax(np.array([softmax_shift]), like.form), "scores")
        self.add("values", like, "softmax", v)

    def end(self, node: str, *reached: str, output: str = "") -> Extreme:
        """The program."""
        last = output or list(self.builder.tensors)[-1]
        program = IntegerProgram(
            tuple(self.builder.nodes), self.builder.tensors, last, last, Preprocessing(image_size=(1, 1))
        )
        return Extreme(program, node, reached)


def column(value: int, dtype: type = np.int8) -> np.ndarray:
    return np.full((1, 1), value, dtype)


def by_sign(weight: np.ndarray, up: bool) -> np.ndarray:
    """int8 inputs [1, K] that drive one row of weights as far up, or down, as they can."""
    return np.where((weight[:1] > 0) == up, 127, -128).astype(np.int8)


def linear(up: bool, shift: int, output_bits: int = 8, bits: int = 8, over: int = 0) -> Extreme:
    """The bias fills what products and the rounding half leave of 32 bits, and goes ``over`` it."""
    rng = np.random.default_rng(shift + 40 + up)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    weight = rng.integers(low, high + 1, (1, 300)).astype(np.int8)
    weight[0, :2] = low, high
    x = by_sign(weight, up)
    products = int((x.astype(int) * weight.astype(int)).sum())
    half, left = (1 << shift) >> 1 if shift > 0 else 0, max(-shift, 0)
    bias = ((TOP - half) >> left) - products + over if up else (BOTTOM >> left) - products - over
    make = Maker()
    make.tokens("x", x)
    make.add("y", Linear(weight, np.array([bias]), np.array([shift]), bits, output_bits), "x")
    return make.end("y", "accumulator")


def scores(low_product: bool, dim: int) -> Extreme:
    """All products are −128 · −128, or −128 · 127."""
    make = Maker()
    make.tokens("q", np.full((2, dim), -128, np.int8))
    make.tokens("k", np.full((3, dim), 127 if low_product else -128, np.int8))
    make.tokens("v", np.arange(3 * dim).reshape(3, dim).astype(np.int8))
    make.attention("q", "k", "v", AttentionValues(1, np.zeros(dim, np.int8)))
    return make.end("scores", "accumulator")


def score_bias(up: bool, over: int = 0) -> Extreme:
    """A bias that leaves nothing of 32 bits; and so the distance and the maximum behind it."""
    make = Maker()
    for name in "qkv":
        make.tokens(name, np.full((2, 1), 100, np.int8))
    make.add("scores", Scores(1, 1), "q", "k")
    far = TOP - 10_000 + over if up else BOTTOM + 1 - over
    bias = np.array([[[far, 0 if up else -10_000], [0 if up else -10_000, far]]])
    make.add("biased", ScoreBias(bias), "scores")
    make.add("softmax", Softmax(np.zeros(1, np.int8)), "biased")
    make.add("values", AttentionValues(1, np.zeros(1, np.int8)), "softmax", "v")
    return make.end("biased")


def softmax(shift: int, over: int = 0, form: str = "linear") -> Extreme:
    """Two scores as far apart as the shift allows."""
    make = Maker()
    make.tokens("q", np.zeros((2, 1), np.int8))
    make.tokens("k", np.zeros((2, 1), np.int8))
    make.tokens("v", np.array([[-128], [127]], np.int8))
    make.add("scores", Scores(1, 1), "q", "k")
    far = (TOP - ((1 << shift) >> 1) if shift > 0 else TOP >> -shift) + over
    make.add("biased", ScoreBias(np.array([[[far, 0], [0, far]]])), "scores")
    make.add("softmax", Softmax(np.array([shift]), form), "biased")
    make.add("values", AttentionValues(1, np.zeros(1, np.int8), form), "softmax", "v")
    return make.end("softmax", "distance")


def most_keys(form: str, guard: int, value: int) -> int:
    """Keys of one value whose products, with the rounding half of step 3, just fit 32 bits."""
    weight = 255 if form == "linear" else 1 << guard

    def fits(keys: int) -> bool:
        total = keys * weight
        return total * value >= BOTTOM and total * value + (1 << (total.bit_length() - 9)) <= TOP

    keys = TOP // (weight * abs(value)) + 1
    while not fits(keys):
        keys -= 1
    return keys


def values(form: str, guard: int, value: int, shift: int = 0, output_bits: int = 8, over: int = 0) -> Extreme:
    """Every key has the largest code and the same value."""
    keys = most_keys(form, guard, value) + over
    make = Maker()
    make.tokens("q", column(0))
    make.tokens("k", np.zeros((keys, 1), np.int8))
    make.tokens("v", np.full((keys, 1), value, np.int8))
    make.attention("q", "k", "v", AttentionValues(1, np.array([shift]), form, guard, output_bits))
    return make.end("values", "accumulator", "sum", "numerator")


def add(up: bool, left: int, shift: int, output_bits: int = 16) -> Extreme:
    """Both operands at the end of 16 bits, as far left as they go."""
    make = Maker()
    for name in "ab":
        make.tokens(name, column(32767 if up else -32768, np.int16))
    lefts = np.array([left])
    make.add("y", Add(lefts, lefts, np.array([shift]), output_bits), "a", "b")
    return make.end("y", "accumulator", "operands")


def sum_tokens(up: bool, shift: int) -> Extreme:
    """As many tokens as there may be."""
    make = Maker()
    make.tokens("x", np.full((1 << 15, 1), 32767 if up else -32768, np.int16))
    make.add("y", SumTokens(0, 1 << 15, np.array([shift]), 16), "x")
    return make.end("y", "accumulator")


def affine(up: bool, shift: int, over: int = 0) -> Extreme:
    """The bias fills what the product and the rounding half leave of 32 bits."""
    gain, x = (-32768, -32768) if up else (32767, -32768)
    half, left = (1 << shift) >> 1 if shift > 0 else 0, max(-shift, 0)
    gain = gain if shift >= 0 else gain >> left
    bias = ((TOP - half) >> left) - gain * x + over if up else (BOTTOM >> left) - gain * x - over
    make = Maker()
    make.tokens("x", column(x, np.int16))
    make.add("y", Affine(np.array([gain]), np.array([bias]), np.array([shift]), 16), "x")
    return make.end("y", "accumulator")


def rotary(up: bool, shift: int) -> Extreme:
    """Both channels of a pair, cosine and sine at their ends; one of the two sums has the sign asked for."""
    one = np.full((1, 1), 1 << 14)
    make = Maker()
    make.tokens("x", np.full((1, 2), -32768, np.int16))
    make.add("y", Rotary(one * (-1 if up else 1), one * (-1 if up else 1), np.array([shift]), 16), "x")
    return make.end("y", "accumulator")


def multiply(up: bool, shift: int) -> Extreme:
    """Gate, offset and linear branch at their ends."""
    make = Maker()
    make.tokens("a", column(-128))
    make.tokens("b", column(-32768 if up else 32767, np.int16))
    make.add("y", Multiply(np.array([-32768]), np.array([shift]), 16), "a", "b")
    return make.end("y", "accumulator", "gate")


def assemble(up: bool, bits: int) -> Extreme:
    """A position that saturates."""
    dtype = np.int16 if bits == 16 else np.int8
    end = np.iinfo(dtype).max if up else np.iinfo(dtype).min
    make = Maker()
    make.tokens("x", column(end, dtype))
    make.add("y", AssembleTokens(np.full((1, 1), end, dtype), column(end, dtype), bits), "x")
    return make.end("y", "accumulator")


def layernorm(kind: str, channels: int, epsilon: int = 0, epsilon_shift: int = 0, shift: int = 30) -> Extreme:
    """One channel against all others, halves against each other, or nothing at all."""
    x = np.full((1, channels), -32768, np.int16)
    if kind == "one":
        x[0, 0] = 32767
    elif kind == "halves":
        x[0, ::2] = 32767
    elif kind == "top":
        x[:] = 32767
    elif kind == "quiet":
        x[:] = 0
        x[0, 0] = 1
    table, _ = rsqrt_table(channels)
    zero = np.zeros(channels, np.int8)
    make = Maker()
    make.tokens("x", x)
    shifts = np.full(channels, shift, np.int8)
    norm = LayerNorm(channels, zero, table, shifts, epsilon, epsilon_shift, output_bits=16)
    make.add("y", norm, "x")
    exact = kind == "halves" and channels & (channels - 1) == 0  # then the largest number is a power of two
    return make.end("y", *(("normal",) if exact else ()))


EXTREMES: dict[str, Callable[[], Extreme]] = {}


def _note(make: Callable[..., Extreme], *arguments: object) -> None:
    EXTREMES[f"{make.__name__}{arguments}"] = lambda: make(*arguments)


for up in (True, False):
    for shift in (0, 1, 8, 30, 31, -1, -8):
        _note(linear, up, shift)
    _note(linear, up, 8, 16)
    _note(linear, up, 8, 8, 4)
    _note(linear, up, 0, 32)
    _note(scores, up, 64)
    _note(scores, up, 4096)
    _note(score_bias, up)
    _note(sum_tokens, up, 0)
    _note(sum_tokens, up, 30)
    _note(add, up, 15, 0)
    _note(add, up, 15, 15)
    _note(add, up, 0, 15, 8)
    for shift in (0, 30, 14, -8):
        _note(affine, up, shift)
    for shift in (0, 30):
        _note(rotary, up, shift)
        _note(multiply, up, shift)
    for bits in (8, 16):
        _note(assemble, up, bits)
for shift in (0, 1, 24, -1, -24):
    for form in ("linear", "log2"):
        _note(softmax, shift, 0, form)
for guard in (15, 12):
    for value in (127, -128):
        _note(values, "log2", guard, value)
        _note(values, "log2", guard, value, 8, 16)
        _note(values, "log2", guard, value, -16, 16)
for value in (127, -128):
    _note(values, "linear", 15, value)
for channels in (2, 3, 384, 16384):
    for kind in ("one", "halves", "top", "quiet"):
        for shift in (14, 30):
            _note(layernorm, kind, channels, 0, 0, shift)
    _note(layernorm, "quiet", channels, 1 << 29, -14, 30)
    _note(layernorm, "one", channels, 1 << 29, 31, 30)
    _note(layernorm, "halves", channels, 1 << 29, -14, 14)

#: Programs one step over a bound: each must fail its audit.
OVER: dict[str, Callable[[], Extreme]] = {
    "linear up": lambda: linear(True, 8, over=1),
    "linear down": lambda: linear(False, 8, over=1),
    "linear to 32 bits": lambda: linear(True, 0, 32, over=1),
    "linear to the left": lambda: linear(True, -8, over=1),
    "scores": lambda: scores(False, 1 << 17),
    "bias up": lambda: score_bias(True, over=1),
    "bias down": lambda: replace(score_bias(False, over=1), node="softmax"),
    "softmax": lambda: softmax(24, over=1),
    "softmax to the left": lambda: softmax(-24, over=1),
    "values, linear": lambda: values("linear", 15, 127, over=1),
    "values, log2": lambda: values("log2", 15, 127, over=1),
    "values, log2, down": lambda: values("log2", 12, -128, over=1),
    "affine": lambda: affine(True, 30, over=1),
    "affine down": lambda: affine(False, 0, over=1),
    "affine to the left": lambda: affine(True, -8, over=1),
}
