"""Whatever is asked for is the reference's: every tensor alone, random sets of them, in every family.

``make keep`` runs 1,000 sets on each.
"""

import numpy as np
import pytest

pytest.importorskip("torch")

from p2vit.engine.native import NativeExecutor, executor, graph, instruction_sets, plan
from p2vit.engine.reference import ReferenceExecutor
from support.families import FAMILIES, family_program, wrong_subsets
from support.programs import random_pixels, random_program, windowed_program
from support.tiers import extended

ISAS = [name for name, reason in instruction_sets().items() if not reason]
EXPORT = plan.PlanBuilder._export
pytestmark = pytest.mark.skipif(not ISAS, reason="the native engine was not built")


@pytest.mark.parametrize("family", extended(FAMILIES, quick=list(FAMILIES)[::2]))
def test_any_set_of_tensors(family):
    program = family_program(family)
    for isa in ISAS[
        :: len(ISAS) - 1 or 1
    ]:  # the fastest, which is also tested with every tensor alone, and scalar
        singles = len(program.nodes) if isa == ISAS[0] else 0
        compared, wrong = wrong_subsets(program, isa, singles + 9, seed=len(isa), threads=(1, 2))
        assert compared > singles
        assert wrong == []


@pytest.mark.parametrize("family", ["ViT", "Swin, as many heads as tokens in a window"])
def test_the_sets_show_what_a_plan_leaves_out(family, monkeypatch):
    """Without rows of whole attentions, or without a stage before a window's tokens are returned, tensors differ."""
    program = family_program(family)
    if family == "ViT":
        monkeypatch.setattr(graph.Graph, "_need_whole_attentions", lambda self: None)
    else:
        monkeypatch.setattr(plan.PlanBuilder, "_export", export_without_meeting)
    wrong = wrong_subsets(program, ISAS[0], len(program.nodes), threads=(2,))[1]
    assert wrong


def export_without_meeting(self, name):
    """Earlier, faulty form of `PlanBuilder._export`."""
    self._buffers.shared.discard(name)
    return EXPORT(self, name)


@pytest.mark.parametrize("seed", range(4))
def test_any_set_of_tensors_of_powers_of_two_and_packed_weights(seed):
    options = {"form": "log2", "weight_bits": 4, "seed": seed}
    for program in (
        random_program(**options, prefix=seed, pool="mean" if seed % 2 else "token" if seed else "mean"),
        windowed_program(**options, image=(16, 24), side=2, dim=24, heads=4, shift=seed % 2),
    ):
        assert wrong_subsets(program, ISAS[seed % len(ISAS)], 60, seed)[1] == []


def test_plans_are_few():
    program = random_program(depth=1)
    engine = NativeExecutor(program, 1)
    pixels, names = random_pixels(program, 1), [node.name for node in program.nodes]
    expected = ReferenceExecutor(program).run(pixels, names)
    for _ in range(2):
        for name in names:
            assert np.array_equal(engine.run(pixels, [name])[name], expected[name])
    assert len(engine._plans) == 1 + executor.MOST_PLANS
    assert frozenset() in engine._plans
