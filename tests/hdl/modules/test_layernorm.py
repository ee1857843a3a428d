import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.layernorm import LayerNormUnit
from p2vit.hdl.simulate import ModuleSimulation
from p2vit.numerics import LayerNorm
from p2vit.numerics.layernorm import rsqrt_table
from support.rtl_checking import check

CONFIGURATIONS = [
    LayerNormUnit(13, 4),
    LayerNormUnit(2, 1, output_bits=16),
    LayerNormUnit(7, 7),
    LayerNormUnit(192, 20),
    LayerNormUnit(384, 5, output_bits=16),
    LayerNormUnit(33, 16, input_bits=12),
    LayerNormUnit(768, 20),
]


def test_rows_of_every_kind():
    check(CONFIGURATIONS[0], 12_000, icarus=300)


def test_an_operators_rows_in_three_passes_without_a_gap():
    rng = np.random.default_rng(0)
    table, _ = rsqrt_table(13)
    shift = rng.integers(20, 30, 13).astype(np.int8)
    operator = LayerNorm(13, np.zeros(13, np.int8), table, shift, 1000, 0)
    module = LayerNormUnit.of(operator, 4)
    x = rng.integers(-30000, 30000, (9, 13))
    inputs = module.row_beats(
        x, operator.input_shift, operator.shift, operator.epsilon, operator.epsilon_shift
    )
    run = ModuleSimulation(module, module.key).run(inputs, {"o": 9 * 4})
    assert (run.outputs["o"]["y"].reshape(9, 16)[:, :13] == operator.compute(x[None])[0]).all()
    assert (np.diff(run.moved["i"]) == 1).all()
    assert len(run.moved["i"]) == 9 * 3 * 4
    assert run.moved["o"][-1] - run.moved["i"][-1] == module.timing.latency


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    assert check(module, 100_000, seed=1, icarus=1000) >= 100_000
