import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.tokens import AssembleUnit, SumUnit
from p2vit.hdl.simulate import ModuleSimulation
from support.rtl_checking import check

FIRST = [AssembleUnit(3), SumUnit(3, depth=3)]
CONFIGURATIONS = [
    *FIRST,
    *(AssembleUnit(*a, output_bits=b) for a, b in (((1,), 8), ((20,), 16), ((7,), 8), ((5,), 16), ((2,), 8))),
    *(
        SumUnit(a, depth=d, output_bits=b)
        for a, d, b in ((1, 1, 8), (20, 10, 8), (7, 5, 16), (5, 2, 8), (2, 9, 16))
    ),
]


@pytest.mark.parametrize("module", FIRST, ids=lambda module: type(module).__name__)
def test_tokens_as_the_norm_has_them(module):
    check(module, 5000, icarus=300)


def test_tokens_and_sums_come_out_when_they_should():
    for module, stream, marks in ((FIRST[0], "constants", None), (FIRST[1], "i", "final")):
        inputs = module.sample(np.random.default_rng(0), 100)
        expected = module.compute(inputs)
        moved = ModuleSimulation(module, module.key).run(inputs, {"o": len(expected["o"]["y"])}).moved
        taken = moved[stream] if marks is None else moved[stream][inputs[stream][marks] == 1]
        assert (np.diff(moved[stream]) == 1).all()
        assert (moved["o"] - taken == module.timing.latency).all()


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    assert check(module, 100_000, seed=1, icarus=1000) >= 100_000
