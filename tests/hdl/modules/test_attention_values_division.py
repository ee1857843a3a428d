import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.attention_values_division import Reciprocal, RowDivision
from p2vit.hdl.simulate import ModuleSimulation
from support.rtl_checking import check, check_streaming_time

DIVISIONS = [
    RowDivision(3),
    RowDivision(1, output_bits=16),
    RowDivision(20),
    RowDivision(7, output_bits=16),
    RowDivision(5),
    RowDivision(2, output_bits=16),
]


def test_reciprocals_are_floored_quotients():
    check(Reciprocal(), 3000, icarus=50)


def test_a_reciprocal_takes_as_long_as_it_says():
    module = Reciprocal()
    run = ModuleSimulation(module, module.key).run({"i": {"total": np.arange(1, 20)}}, {"o": 19})
    assert (np.diff(run.moved["i"]) == module.timing.interval).all()
    assert (run.moved["o"] - run.moved["i"] == module.timing.latency).all()


def test_division_after_the_product():
    check(DIVISIONS[0], 10_000, icarus=300)
    check_streaming_time(DIVISIONS[0])


@pytest.mark.slow
@pytest.mark.parametrize("module", [Reciprocal(), *DIVISIONS], ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    assert check(module, 100_000, seed=1, icarus=1000) >= 100_000


@pytest.mark.slow
def test_every_sum_up_to_a_hundred_thousand():
    module = Reciprocal()
    total = np.arange(1, 100_001)
    run = ModuleSimulation(module, module.key).run({"i": {"total": total}}, {"o": len(total)}, stall=0.1)
    want = module.compute({"i": {"total": total}})["o"]
    assert (run.outputs["o"]["r"] == want["r"]).all()
    assert (run.outputs["o"]["n"] == want["n"]).all()
