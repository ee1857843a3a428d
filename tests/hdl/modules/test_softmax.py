import numpy as np
import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.modules.softmax import SoftmaxUnit
from p2vit.hdl.simulate import ModuleSimulation
from p2vit.numerics import Softmax
from support.rtl_checking import check

CONFIGURATIONS = [
    SoftmaxUnit(4),
    SoftmaxUnit(5, form="log2"),
    SoftmaxUnit(1),
    SoftmaxUnit(1, form="log2"),
    SoftmaxUnit(20),
    SoftmaxUnit(20, form="log2"),
    SoftmaxUnit(7),
]


@pytest.mark.parametrize("module", CONFIGURATIONS[:2], ids=lambda module: module.form)
def test_codes_and_sums(module):
    check(module, 6_000, icarus=400)


@pytest.mark.parametrize("module", CONFIGURATIONS[:2], ids=lambda module: module.form)
def test_an_operators_scores_in_two_passes_without_a_gap(module):
    rng = np.random.default_rng(0)
    operator = Softmax(np.array([9], np.int8), module.form)
    scores = rng.integers(-(10**6), 10**6, (1, 1, 13, 17))
    parts = [module.row_beats(row, 9) for row in scores[0, 0]]
    inputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    beats = -(-17 // module.lanes)
    run = ModuleSimulation(module, module.key).run({"i": inputs}, {"o": 13 * beats})
    codes = run.outputs["o"]["code"].reshape(13, -1)[:, :17]
    assert (codes == operator.compute(scores)[0, 0]).all()
    assert (np.diff(run.moved["i"]) == 1).all()
    assert len(run.moved["i"]) == 13 * beats * 2
    assert run.moved["o"][-1] - run.moved["i"][-1] == module.timing.latency


@pytest.mark.slow
@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.key)
def test_a_hundred_thousand_vectors(module):
    assert check(module, 100_000, seed=1, icarus=1000) >= 100_000
