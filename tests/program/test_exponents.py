import dataclasses

import numpy as np
import pytest

from p2vit.numerics import OPERATORS, LayerNorm, Lookup, Scores, SelectToken
from p2vit.numerics.layernorm import rsqrt_table, squares_shift
from p2vit.program.exponents import Relation, node_relations, relations, scale_problems
from p2vit.program.graph import Node, TensorSpec
from support.programs import random_program


def spec(name, shape, exponent, offset=0, bits=8):
    return TensorSpec(name, shape, bits, True, np.asarray(exponent), offset)


def violations(operator, inputs, output):
    tensors = {s.name: s for s in (*inputs, output)}
    node = Node(output.name, operator, tuple(s.name for s in inputs))
    return [r.describe() for r in node_relations(node, tensors) if r.violations]


@pytest.mark.parametrize("form", ["linear", "log2"])
@pytest.mark.parametrize("pool", ["token", "mean"])
def test_random_programs_hold(form, pool):
    assert scale_problems(random_program(form=form, pool=pool)) == []


def test_every_operator_has_a_rule():
    for kind in OPERATORS.values():
        assert relations.dispatch(kind) is not relations.dispatch(object), kind.__name__


def test_relations_count_and_describe():
    relation = Relation("shift", np.array([1, 2, 3]), np.array([1, 5, 6]))
    assert relation.violations == 2
    assert relation.describe() == "shift at [1] is 2; the exponents imply 5 (2 of 3 differ)"
    assert Relation("x", np.array(1), np.array(1)).violations == 0
    assert Relation("x", np.array(1), np.array(1)).describe() == "x holds"
    mismatched = Relation("shift", np.zeros(3), np.zeros(2))
    assert mismatched.violations == 3
    assert mismatched.describe() == "shift has shape [3]; expected [2]"


def test_q_and_k_may_trade_exponents_within_a_head():
    q, k = spec("q", (5, 4), [-4, -6, -3, -3]), spec("k", (5, 4), [-5, -3, -4, -4])
    scores = lambda e: spec("s", (2, 5, 5), np.array(e)[:, None, None], bits=32)  # noqa: E731
    assert violations(Scores(2, 2, -3), [q, k], scores([-12, -10])) == []
    assert violations(Scores(2, 2), [q, k], scores([-12, -10])) == [
        "exponent of the scores at [0] is -12; the exponents imply -9 (2 of 2 differ)"
    ]
    k = spec("k", (5, 4), [-5, -4, -4, -4])
    found = violations(Scores(2, 2, -3), [q, k], scores([-12, -10]))
    assert found == [
        "exponent of the products q · k within a head at [0, 1] is -10; "
        "the exponents imply -9 (1 of 4 differ)"
    ]


def test_layernorm_aligns_its_input():
    table, fraction = rsqrt_table(3)
    shift = np.full(3, fraction + squares_shift(3) - 5)
    operator = LayerNorm(3, np.array([0, 2, 1]), table, shift, 1, 0)
    output = spec("n", (5, 3), -5)
    assert violations(operator, [spec("x", (5, 3), [-8, -6, -7])], output) == []
    assert violations(operator, [spec("x", (5, 3), -8)], output) == [
        "exponent after input_shift at [1] is -10; the exponents imply -8 (2 of 3 differ)"
    ]
    assert violations(operator, [spec("x", (5, 3), [-8, -6, -7], offset=3)], output) == [
        "offset of x is 3; the exponents imply 0"
    ]
    other = dataclasses.replace(operator, table=table // 2)
    assert "inverse square root table" in violations(other, [spec("x", (5, 3), [-8, -6, -7])], output)[0]


def test_a_table_serves_channels_of_one_exponent_and_any_offset():
    operator = Lookup(np.zeros((1, 256), int))
    assert violations(operator, [spec("x", (5, 3), -8)], spec("y", (5, 3), -4, offset=100)) == []
    assert len(violations(operator, [spec("x", (5, 3), [-8, -8, -7])], spec("y", (5, 3), -4))) == 1
    assert len(violations(operator, [spec("x", (5, 3), -8)], spec("y", (5, 3), [-8, -8, -7]))) == 1
    uneven = np.array([0, 1, 0])
    assert len(violations(operator, [spec("x", (5, 3), -8, offset=uneven)], spec("y", (5, 3), -8))) == 1


def test_each_group_of_channels_has_exponents_and_offsets_of_its_own():
    operator = Lookup(np.zeros((2, 256), int))
    source = spec("x", (5, 4), [-8, -8, -7, -7], offset=np.array([1, 1, 3, 3]))
    assert violations(operator, [source], spec("y", (5, 4), [-4, -4, -5, -5])) == []
    assert violations(operator, [source], spec("y", (5, 4), [-4, -5, -5, -5])) == [
        "exponent of the output within a table's channels at [0, 1] is -5; the exponents imply -4 (1 of 4 differ)"
    ]


def test_selecting_keeps_exponent_and_offset():
    source = spec("x", (5, 3), [1, 2, 3], offset=4)
    assert violations(SelectToken(0), [source], spec("y", (1, 3), [1, 2, 3], offset=4)) == []
    assert len(violations(SelectToken(0), [source], spec("y", (1, 3), [1, 2, 4]))) == 2


def test_exponents_per_key_are_not_allowed():
    scores = TensorSpec("s", (2, 5, 5), 32, True, np.arange(5))
    q, k = spec("q", (5, 4), -4), spec("k", (5, 4), -4)
    assert violations(Scores(2, 2), [q, k], scores) == [
        "number of axes of the exponents is 1; the exponents imply 3"
    ]


def test_pixels_are_at_exponent_zero():
    program = random_program()
    pixels = dataclasses.replace(program.pixels, offset=5)
    found = scale_problems(dataclasses.replace(program, tensors={**program.tensors, "pixels": pixels}))
    assert [(p.node, p.count) for p in found] == [("pixels", 1), ("patches", 1)]
