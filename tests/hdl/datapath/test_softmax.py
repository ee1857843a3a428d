import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, Signal, signed

from p2vit.hdl.arithmetic import shift_with_half
from p2vit.hdl.datapath import softmax
from p2vit.numerics import AttentionValues, Softmax
from p2vit.numerics.rounding import shift_round
from p2vit.numerics.softmax import EXP2_TABLE, OCTAVE_FACTOR, octaves_below_maximum
from support.rtl_evaluate import evaluate


def octaves(m: Module, distance: Signal, amount: Signal) -> Signal:
    found = Signal(16)
    cut = softmax.cut_distance(m, shift_with_half(distance, amount, raised=16))
    m.d.comb += found.eq(softmax.octaves_of(softmax.rounded_distance(m, cut) * OCTAVE_FACTOR))
    return found


def distances() -> list[int]:
    rng = np.random.default_rng(0)
    return [
        0,
        1,
        (1 << 32) - 1,
        65535,
        65536,
        *(rng.integers(0, 1 << 32, 900) >> rng.integers(0, 32, 900)).tolist(),
    ]


def test_octaves_of_every_shift_are_the_norms():
    m, distance, amount = Module(), Signal(32), Signal(6)
    found = octaves(m, distance, amount)
    rows = distances()
    shifts = np.arange(len(rows)) % 41 - 16
    z = np.minimum(shift_round(np.array(rows, np.int64), shifts), 65535)
    expected = (z * 23637) >> 15
    assert evaluate(m, [(distance, rows), (amount, (shifts + 16).tolist())], found) == expected.tolist()
    scores = np.array([0, -rows[5]], np.int64).clip(-(1 << 31), None)
    assert octaves_below_maximum(scores, 4)[1] == (min(shift_round(-scores[1], 4), 65535) * 23637) >> 15


@pytest.mark.parametrize("form", ["linear", "log2"])
def test_codes_of_all_octaves_are_the_norms(form):
    m, value, code = Module(), Signal(16), Signal(8)
    if form == "linear":
        m.submodules.table = table = softmax.exp2_table()
        port = table.read_port(domain="comb")
        m.d.comb += port.addr.eq(softmax.table_index(value))
        m.d.comb += code.eq(
            softmax.linear_code(m, softmax.linear_twice(port.data, softmax.whole_octaves(value)))
        )
    else:
        m.d.comb += code.eq(softmax.log2_code(m, value))
    u = np.arange(0, 1 << 16, 7)
    if form == "linear":
        expected = np.minimum(shift_round(EXP2_TABLE.astype(np.int64)[u >> 4 & 127], 7 + (u >> 11)), 255)
    else:
        expected = np.minimum(shift_round(u, 11), 15)
    assert evaluate(m, [(value, u.tolist())], code) == expected.tolist()
    # The row's maximum has the largest code there is: what the divider relies on.
    assert (
        Softmax(np.zeros(1, np.int8), form).compute(np.zeros((1, 1, 1, 1), np.int32)).ravel()[0]
        == expected[0]
    )


def test_what_a_code_stands_for():
    m, value, code, guard, found = Module(), Signal(signed(8)), Signal(4), Signal(4), Signal(signed(24))
    m.d.comb += found.eq(softmax.times_weight(value, code, guard))
    rows = [(v, c, g) for v in (-128, -1, 1, 127) for c in range(16) for g in range(8, 16)]
    values, codes, guards = (list(column) for column in zip(*rows, strict=True))
    expected = [
        v * int(AttentionValues(1, np.zeros(1, np.int8), "log2", g).weights_of(np.array([c]))[0])
        for v, c, g in rows
    ]
    assert evaluate(m, [(value, values), (code, codes), (guard, guards)], found) == expected
