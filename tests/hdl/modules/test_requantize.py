import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.requantize import Requantizer
from p2vit.hdl.simulate import ModuleSimulation
from p2vit.numerics.requantize import requantize
from support.rtl_checking import check, check_streaming_time

CONFIGURATIONS = [
    Requantizer(20),
    Requantizer(1),
    Requantizer(3, output_bits=16, least=-31),
    Requantizer(5, input_bits=24, most=23, least=-5),
    Requantizer(7, output_bits=16),
    Requantizer(2, input_bits=48, least=-2, most=38, output_bits=16),
]


def test_every_accumulator_rounds_as_the_norm_says():
    check(CONFIGURATIONS[0], 5000, icarus=200)
    check_streaming_time(CONFIGURATIONS[0])


def test_left_shifts_and_both_widths():
    check(CONFIGURATIONS[2], 20_000, icarus=500)


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    assert check(module, 100_000, seed=1, icarus=2000) >= 100_000


@pytest.mark.slow
def test_all_corners_of_one_shift_amount():
    module = Requantizer(1, least=-31)
    edge = np.array([-(2**31), -(2**31) + 1, 2**31 - 1, -1, 0, 1])
    x = np.unique(
        np.concatenate([edge, *(s * (2**p) + d for p in range(31) for s in (1, -1) for d in (edge[3:],))])
    )
    x, shift = (a.ravel() for a in np.meshgrid(x, np.arange(-31, 32)))
    run = ModuleSimulation(module, module.key).run(
        {"i": {"x": x, "shift": shift, "last": 0 * x}}, {"o": len(x)}, stall=0.2
    )
    assert (run.outputs["o"]["y"] == requantize(x, shift, 8)).all()
