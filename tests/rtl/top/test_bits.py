import warnings

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from p2vit.numerics.rounding import bit_length as bits_of
from p2vit.numerics.rounding import requantize, saturate, shift_round
from p2vit.rtl.top.bits import bit_length, clamp, field, requantized, round_right
from p2vit.rtl.top.descriptor import Descriptor, Kind


def evaluate(m: Module, inputs: list[tuple[Signal, list[int]]], output: Signal) -> list[int]:
    """A combinational module on many inputs."""
    found = []

    async def bench(context):
        for values in zip(*(column for _, column in inputs), strict=True):
            for (signal, _), value in zip(inputs, values, strict=True):
                context.set(signal, value)
            await context.delay(1e-9)
            found.append(context.get(output))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator.run()
    return found


def corners(bits: int, count: int, seed: int = 0) -> list[int]:
    rng = np.random.default_rng(seed)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    wide = rng.integers(low, high, count, endpoint=True) >> rng.integers(0, bits - 1, count)
    return [low, high, low + 1, high - 1, 0, 1, -1, *wide.tolist()]


def test_a_rounding_shift_is_the_norms():
    m, x, s, y = Module(), Signal(signed(32)), Signal(5), Signal(signed(33))
    m.d.comb += y.eq(round_right(x, s, 33))
    values = corners(32, 1500)
    shifts = [i % 32 for i in range(len(values))]
    assert (
        evaluate(m, [(x, values), (s, shifts)], y) == shift_round(np.array(values), np.array(shifts)).tolist()
    )


@pytest.mark.parametrize("planes", [1, 2])
def test_requantizing_is_the_norms_with_left_shifts_too(planes):
    m, x, s, y = Module(), Signal(signed(32)), Signal(signed(6)), Signal(signed(32))
    m.d.comb += y.eq(requantized(m, x, s, Signal(3, init=planes), "y"))
    values = corners(32, 1500, planes)
    shifts = [i % 39 - 7 for i in range(len(values))]
    expected = requantize(np.array(values, np.int64), np.array(shifts), 8 * planes)
    assert evaluate(m, [(x, values), (s, shifts)], y) == expected.tolist()


def test_clamping_and_widths():
    m, x, y = Module(), Signal(signed(20)), Signal(signed(8))
    m.d.comb += y.eq(clamp(x, 8))
    values = corners(20, 300)
    assert evaluate(m, [(x, values)], y) == saturate(np.array(values), 8).tolist()
    m, u, n = Module(), Signal(31), Signal(6)
    m.d.comb += n.eq(bit_length(m, u, "n"))
    sizes = [0, *(1 << i for i in range(31)), *((1 << i) - 1 for i in range(1, 32))]
    assert evaluate(m, [(u, sizes)], n) == bits_of(np.array(sizes)).tolist()


def test_a_field_is_decoded_where_it_is_encoded():
    word = Descriptor(Kind.VECTOR, {"softmax_shift": -5, "epsilon": 12345}).encode()
    m, w, shift, epsilon = Module(), Signal(256), Signal(signed(6)), Signal(30)
    m.d.comb += shift.eq(field(w, Kind.VECTOR, "softmax_shift", is_signed=True))
    m.d.comb += epsilon.eq(field(w, Kind.VECTOR, "epsilon"))
    assert evaluate(m, [(w, [word])], shift) == [-5]
    with pytest.raises(KeyError, match=r"VECTOR\.epsilom"):
        field(w, Kind.VECTOR, "epsilom")
