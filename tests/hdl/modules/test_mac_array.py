import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.mac_array import MacArray
from p2vit.hdl.simulate import ModuleSimulation
from p2vit.numerics import Linear
from support.rtl_checking import check
from support.rtl_operators import linear_through

CONFIGURATIONS = [
    MacArray(3, 5, depth=3),
    MacArray(1, 1, depth=1),
    MacArray(4, 8, depth=6, codes=False),
    MacArray(7, 3, depth=2),
    MacArray(2, 16, depth=24),
    MacArray(20, 64, depth=3),
]


def test_columns_are_sums_of_products():
    check(CONFIGURATIONS[0], 20_000, icarus=300)


@pytest.mark.parametrize("bits", [8, 4, 3])
def test_a_linear_is_the_operators_own(bits):
    rng = np.random.default_rng(bits)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1))
    weight = rng.integers(low, high, (9, 13)).astype(np.int8)
    layer = Linear(weight, rng.integers(-9999, 9999, 9), np.zeros(9, np.int8), bits, 32)
    x = rng.integers(-128, 128, (7, 13))
    unit = CONFIGURATIONS[0], ModuleSimulation(CONFIGURATIONS[0], CONFIGURATIONS[0].key)
    acc, run = linear_through(unit, layer, x)
    assert (acc == layer.compute(x[None].astype(np.int8))[0]).all()
    # ⌈M / lines⌉ · N · ⌈K / lanes⌉ beats, one per cycle once the first rows are there; two narrow columns at a time.
    columns = 9 if bits == 8 else 5
    moved = run.moved["weights"]
    assert len(moved) == 3 * columns * 3
    assert moved[-1] - moved[0] == len(moved) - 1
    assert run.moved["o"][-1] - moved[-1] == CONFIGURATIONS[0].timing.latency


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    beats = 100_000 if module.lines * module.lanes < 200 else 60_000
    # Of the widest arrays fewer beats, each of which compares a number per line.
    assert check(module, beats, seed=1, icarus=200) * module.lines >= 100_000
