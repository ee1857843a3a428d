import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, Signal, signed

from p2vit.hdl.arithmetic import round_last_bit
from p2vit.hdl.datapath import layernorm
from p2vit.numerics.layernorm import CENTRED_BITS, INDEX_SHIFT, TABLE_FIRST, TABLE_LAST
from p2vit.numerics.rounding import bit_length, shift_round
from support.rtl_evaluate import corners, evaluate


def sizes() -> list[int]:
    return [*(1 << i for i in range(31)), *((1 << i) - 1 for i in range(1, 32))]


def test_the_common_shift_brings_the_largest_to_fourteen_bits_or_is_epsilons():
    m, largest, epsilon_shift, k = Module(), Signal(31), Signal(signed(6)), Signal(signed(6))
    m.d.comb += k.eq(layernorm.common_shift(m, largest, epsilon_shift))
    rows = [0, *sizes()]
    least = np.resize([-14, 0, 9, 31], len(rows))
    expected = np.maximum(bit_length(np.array(rows)) - CENTRED_BITS, least)
    assert evaluate(m, [(largest, rows), (epsilon_shift, least.tolist())], k) == expected.tolist()


def test_centred_values_and_epsilon_at_the_rows_shift():
    values = corners(31, 600)
    k = np.arange(len(values)) % 46 - CENTRED_BITS
    m, x, amount, y = Module(), Signal(signed(31)), Signal(6), Signal(signed(46))
    m.d.comb += y.eq(round_last_bit(layernorm.centred_twice(x, amount)))
    found = evaluate(m, [(x, values), (amount, (k + CENTRED_BITS).tolist())], y)
    assert found == shift_round(np.array(values), k).tolist()

    epsilons = [abs(value) & ((1 << 29) - 1) for value in values]
    m, x, k_of, own, y = Module(), Signal(30), Signal(signed(6)), Signal(signed(6)), Signal(30)
    m.d.comb += y.eq(round_last_bit(layernorm.epsilon_twice(x, k_of, own)))
    base = np.minimum(k, -3)
    found = evaluate(m, [(x, epsilons), (k_of, k.tolist()), (own, base.tolist())], y)
    assert found == shift_round(np.array(epsilons), np.minimum(2 * (k - base), 62)).tolist()


def test_a_total_is_positive():
    m, squares, epsilon, total = Module(), Signal(31), Signal(30), Signal(31)
    m.d.comb += total.eq(layernorm.positive_total(m, squares, epsilon))
    assert evaluate(m, [(squares, [0, 0, 5]), (epsilon, [0, 7, 1 << 29])], total) == [1, 7, (1 << 29) + 5]


def test_every_total_finds_an_entry_of_the_table():
    m, total, exponent, index = Module(), Signal(31), Signal(signed(5)), Signal(10)
    m.d.comb += [
        exponent.eq(layernorm.root_exponent(m, total)),
        index.eq(layernorm.root_index(total, exponent)),
    ]
    rows = [*sizes(), *(abs(value) + 1 for value in corners(30, 300))]
    j = (bit_length(np.array(rows)) - 29) >> 1
    mantissa = [
        int(value) << -2 * int(p) if p < 0 else int(value) >> 2 * int(p)
        for value, p in zip(rows, j, strict=True)
    ]
    assert evaluate(m, [(total, rows)], exponent) == j.tolist()
    found = evaluate(m, [(total, rows)], index)
    assert found == [value >> INDEX_SHIFT for value in mantissa]
    assert TABLE_FIRST <= min(found) <= max(found) <= TABLE_LAST
