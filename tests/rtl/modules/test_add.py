import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.numerics import Add
from p2vit.rtl.modules.add import AddUnit
from p2vit.rtl.simulate import Simulation
from support.rtl_checking import check, check_streaming_time

FIRST = AddUnit(3)
CONFIGURATIONS = [
    FIRST,
    *(AddUnit(*a, output_bits=b) for a, b in (((1,), 8), ((20,), 16), ((7,), 8), ((5,), 16), ((2,), 8))),
]


def test_elements_as_the_norm_has_them():
    check(FIRST, 5000, icarus=300)


def test_one_beat_per_cycle():
    check_streaming_time(FIRST)


def test_a_residual_add_is_the_operators_own():
    rng = np.random.default_rng(0)
    shifts = [rng.integers(0, 9, 6).astype(np.int8) for _ in range(2)]
    operator = Add(*shifts, np.array([3], np.int8), 8)
    a, b = rng.integers(-32768, 32768, (2, 1, 9, 6))
    module = FIRST
    run = Simulation(module, module.key).run({"i": module.operator_beats(operator, a[0], b[0])}, {"o": 18})
    assert (run.outputs["o"]["y"].reshape(9, 6) == operator.compute(a, b)[0]).all()


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    assert check(module, 100_000, seed=1, icarus=1000) >= 100_000
