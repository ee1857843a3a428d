import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.attention_values import ShifterArray
from p2vit.hdl.simulate import ModuleSimulation
from support.rtl_checking import check

CONFIGURATIONS = [
    ShifterArray(3, 5, depth=3),
    ShifterArray(1, 1, depth=1),
    ShifterArray(4, 8, depth=6),
    ShifterArray(7, 3, depth=2),
    ShifterArray(2, 16, depth=13),
    ShifterArray(20, 32, depth=7),
]


def test_columns_are_sums_of_shifted_values():
    check(CONFIGURATIONS[0], 20_000, icarus=300)


def test_columns_come_out_when_they_should():
    module = CONFIGURATIONS[0]
    inputs = module.sample(np.random.default_rng(0), 200)
    last = inputs["values"]["last"]
    run = ModuleSimulation(module, module.key).run(inputs, {"o": int(last.sum())})
    assert (run.moved["o"] - run.moved["values"][last == 1] == module.timing.latency).all()


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    beats = 100_000 if module.lines * module.lanes < 200 else 60_000
    # Of the widest arrays fewer beats, each of which compares a number per line.
    assert check(module, beats, seed=1, icarus=200) * module.lines >= 100_000
