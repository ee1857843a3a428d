"""The audit finds masks through which a key could still be seen."""

from dataclasses import replace

import numpy as np

from p2vit.numerics import AttentionValues, ScoreBias
from p2vit.program.audit import audit
from p2vit.program.graph import IntegerProgram, Node
from support.programs import windowed_program


def with_operator(program: IntegerProgram, name: str, **changes: object) -> IntegerProgram:
    nodes = [
        Node(n.name, replace(n.operator, **changes), n.inputs) if n.name == name else n for n in program.nodes
    ]
    return replace(program, nodes=tuple(nodes))


def test_a_sound_mask_passes():
    for form in ("linear", "log2"):
        assert audit(windowed_program(form=form)).passed


def test_a_masked_score_that_is_too_high_is_found():
    program = windowed_program()
    assert isinstance(program.node("biased").operator, ScoreBias)
    higher = with_operator(program, "biased", masked=np.zeros(2, np.int32))
    (problem,) = audit(higher).problems
    assert "biased: a masked key of head" in problem
    assert "and so get weight; lower its masked score" in problem


def test_a_guard_that_gives_the_least_code_weight_is_found():
    program = with_operator(windowed_program(form="log2"), "values", guard=15)
    assert isinstance(program.node("values").operator, AttentionValues)
    assert audit(program).problems == [
        "values: with a guard of 15 a masked key weighs 1, not 0; use at most 14"
    ]


def test_no_mask_no_limit():
    program = with_operator(windowed_program(image=(24, 24), shift=0, form="log2"), "values", guard=15)
    assert audit(program).passed
