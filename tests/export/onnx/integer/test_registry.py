"""Rare branches of each operator: parameters at their limits, shifts of both signs, computation in int64."""

import numpy as np
import pytest

from p2vit.errors import P2vitError
from p2vit.export.onnx.integer import LOWERINGS
from p2vit.export.onnx.integer.matmul import cannot_saturate, products_are_exact
from p2vit.export.onnx.qdq import FLOAT_LOWERINGS
from p2vit.numerics import (
    OPERATORS,
    Add,
    Affine,
    AttentionValues,
    LayerNorm,
    Linear,
    Lookup,
    Patchify,
    Scores,
    Softmax,
)
from p2vit.numerics.layernorm import rsqrt_table, squares_shift
from p2vit.program.graph import PIXELS, IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing
from support.meaningful import mismatches

SIDE = 6
CHANNELS = 12


class Bench:
    """Return a program with int8 and int16 tensors [9, 12] made from pixels, and the nodes that a test adds."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = ProgramBuilder((SIDE, SIDE, 3))
        self.builder.add("byte", Patchify(2), [PIXELS], 0)
        self.add_linear("word", 12, 16, shift=-1)

    def add_linear(
        self, name: str, outputs: int, output_bits: int, shift: int = 0, source: str = "byte"
    ) -> None:
        weight = self.rng.integers(-128, 128, (outputs, CHANNELS)).astype(np.int8)
        bias = self.rng.integers(-9000, 9000, outputs).astype(np.int32)
        shifts = np.full(outputs, shift, np.int8)
        self.builder.add(name, Linear(weight, bias, shifts, 8, output_bits), [source], 0)

    def int8(self, low: int, high: int, count: int = CHANNELS) -> np.ndarray:
        return self.rng.integers(low, high + 1, count).astype(np.int8)

    def check(self, operator, *inputs: str) -> None:
        self.builder.add("out", operator, list(inputs), 0)
        self.check_built()

    def check_built(self, products: str = "portable") -> None:
        last = self.builder.nodes[-1].name
        preprocessing = Preprocessing(image_size=(SIDE, SIDE))
        program = IntegerProgram(tuple(self.builder.nodes), self.builder.tensors, last, last, preprocessing)
        pixels = self.rng.integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
        pixels[0], pixels[1, :, 3:], pixels[2] = 255, 0, pixels[2] // 64
        assert mismatches(program, pixels, products=products) == {}


@pytest.mark.parametrize("shifts", [(-6, 6), (0, 0), (1, 20), (5, 12), (-8, -1), (31, 31), (0, 31)])
@pytest.mark.parametrize("output_bits", [8, 16])
def test_linear_shifts(shifts, output_bits):
    bench = Bench()
    weight = bench.rng.integers(-128, 128, (40, CHANNELS)).astype(np.int8)
    bias = bench.rng.integers(-(1 << 20), 1 << 20, 40).astype(np.int32)
    bench.check(Linear(weight, bias, bench.int8(*shifts, 40), 8, output_bits), "byte")


@pytest.mark.parametrize("shift", [(0, 0), (0, 15), (3, 9)])
@pytest.mark.parametrize("output_bits", [8, 16])
def test_add_of_tensors_with_exponents_per_channel(shift, output_bits):
    bench = Bench()
    bench.check(Add(bench.int8(0, 9), bench.int8(0, 14), bench.int8(*shift), output_bits), "word", "byte")


def test_add_that_may_leave_int32_is_refused():
    bench = Bench()
    most = np.full(1, 15, np.int8)
    with pytest.raises(
        P2vitError, match=r"^node out: the aligned sum may leave int32 for operands of 16 and 16 bits; use"
    ):
        bench.check(Add(most, most, np.zeros(1, np.int8)), "word", "word")


@pytest.mark.parametrize("output_bits", [8, 16])
@pytest.mark.parametrize("shift", [(-8, 30), (10, 16)])
def test_affine(output_bits, shift):
    bench = Bench()
    gain = bench.rng.integers(-(1 << 15), 1 << 15, CHANNELS).astype(np.int16)
    bias = bench.rng.integers(-(1 << 30), 1 << 30, CHANNELS).astype(np.int32)
    bench.check(Affine(gain, bias, bench.int8(*shift), output_bits), "word")


@pytest.mark.parametrize("epsilon", [(0, -14), (1 << 20, -2), (1 << 29, 3), (77, 16), (1 << 29, 17), (9, 31)])
@pytest.mark.parametrize("shift", [(16, 26), (14, 16), (14, 30)])
@pytest.mark.parametrize("output_bits", [8, 16])
def test_layernorm(epsilon, shift, output_bits):
    bench = Bench()
    table, _ = rsqrt_table(CHANNELS)
    operator = LayerNorm(
        CHANNELS, np.zeros(CHANNELS, np.int8), table, bench.int8(*shift), *epsilon, output_bits=output_bits
    )
    bench.check(operator, "word")


@pytest.mark.parametrize("input_bits", [16, 12, 9])
@pytest.mark.parametrize("source", ["byte", "word"])
def test_layernorm_that_aligns_its_input(input_bits, source):
    bench = Bench()
    table, fraction = rsqrt_table(CHANNELS)
    shift = np.full(CHANNELS, fraction + squares_shift(CHANNELS) - 4, np.int8)
    for low, high in ((0, 0), (0, 5), (0, 15)):
        operator = LayerNorm(CHANNELS, bench.int8(low, high), table, shift, 5, -3, input_bits=input_bits)
        Bench().check(operator, source)


def test_layernorm_of_many_channels():
    channels = 3 * 60 * 60
    builder = ProgramBuilder((60, 120, 3))
    builder.add("byte", Patchify(60), [PIXELS], 0)
    table, fraction = rsqrt_table(channels)
    shift = np.full(channels, fraction + squares_shift(channels) - 4, np.int8)
    zeros = np.zeros(channels, np.int8)
    builder.add("out", LayerNorm(channels, zeros + 7, table, shift, 100, -2), ["byte"], -4)
    preprocessing = Preprocessing(image_size=(60, 120))
    program = IntegerProgram(tuple(builder.nodes), builder.tensors, "out", "out", preprocessing)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 60, 120, 3), dtype=np.uint8)
    pixels[0, :, :60] = 0
    pixels[0, 0, 0] = 255
    assert mismatches(program, pixels) == {}


@pytest.mark.parametrize("products", ["portable", "vnni"])
@pytest.mark.parametrize("form", ["linear", "log2"])
@pytest.mark.parametrize("shift", [(0, 0, 0), (-24, -3, 2), (5, 9, 24)])
def test_attention(form, shift, products):
    bench = Bench()
    for name in "qkv":
        bench.add_linear(name, 12, 8, shift=6)
    builder = bench.builder
    builder.add("scores", Scores(3, 4), ["q", "k"], 0)
    builder.add("codes", Softmax(np.array(shift, np.int8), form), ["scores"], 0)
    for index, guard in enumerate((8, 11, 15)):
        for bits in (8, 16):
            values = AttentionValues(3, bench.int8(-16, 8), form, guard, bits)
            builder.add(f"values.{index}.{bits}", values, ["codes", "v"], 0)
    bench.check_built(products)


@pytest.mark.parametrize("form", ["linear", "log2"])
def test_attention_over_many_keys(form):
    # Sums of 2^23 and more: the reciprocal and the lifted accumulator overflow int32.
    builder = ProgramBuilder((20, 25, 3))
    builder.add("v", Patchify(1), [PIXELS], 0)
    flat = Linear(np.zeros((3, 3), np.int8), np.zeros(3, np.int32), np.zeros(3, np.int8))
    builder.add("q", flat, ["v"], 0)
    builder.add("scores", Scores(1, 3), ["q", "v"], 0)
    builder.add("codes", Softmax(np.zeros(1, np.int8), form), ["scores"], 0)
    builder.add("out", AttentionValues(1, np.array([-2, 0, -1], np.int8), form), ["codes", "v"], 0)
    program = IntegerProgram(
        tuple(builder.nodes), builder.tensors, "out", "out", Preprocessing(image_size=(20, 25))
    )
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 25, 3), dtype=np.uint8)
    pixels[0], pixels[1] = 0, 255
    assert mismatches(program, pixels) == {}


def test_codes_that_no_softmax_wrote_are_refused():
    bench = Bench()
    for name in "qk":
        bench.add_linear(name, 12, 8, shift=6)
    bench.builder.add("scores", Scores(3, 4), ["q", "k"], 0)
    bench.builder.add("codes", Softmax(np.zeros(3, np.int8), "log2"), ["scores"], 0)
    with pytest.raises(
        P2vitError, match=r"^node out: codes come from codes; expected a Softmax of form 'linear'$"
    ):
        bench.check(AttentionValues(3, np.zeros(12, np.int8), "linear"), "codes", "k")


def test_narrow_weights_cannot_saturate_and_keep_the_fast_form():
    assert cannot_saturate(np.full((2, 4), -64, np.int8))
    assert not cannot_saturate(np.full((2, 4), -65, np.int8))
    assert cannot_saturate(np.array([[127, 1, 127]], np.int8))


def test_the_probe_finds_the_portable_form_exact():
    assert products_are_exact("portable")


def test_the_probe_says_what_full_range_products_show():
    """Test a form with random full-range bytes, independently of the operands of the check."""
    exact = True
    for seed in range(3):
        bench = Bench(seed)
        bench.add_linear("out", 40, 16, shift=6)
        try:
            bench.check_built("vnni")
        except AssertionError:
            exact = False
    assert not products_are_exact("vnni") or exact


def test_every_operator_has_a_lowering_of_both_kinds():
    assert set(LOWERINGS) == set(OPERATORS.values())
    assert set(FLOAT_LOWERINGS) == set(OPERATORS.values())


def test_an_operator_without_lowering_is_named(monkeypatch):
    bench = Bench()
    monkeypatch.delitem(LOWERINGS, Lookup)
    with pytest.raises(
        P2vitError, match=r"^node out: no ONNX lowering for operator Lookup; there is one for Add, "
    ):
        bench.check(Lookup(np.zeros((1, 256), np.int8)), "byte")
