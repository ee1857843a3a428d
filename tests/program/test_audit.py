import dataclasses
import json

import numpy as np
import pytest

from p2vit.engine.reference import ReferenceExecutor
from p2vit.numerics import LayerNorm, Linear, Softmax
from p2vit.numerics.rounding import signed_bits
from p2vit.program.audit import audit, float_operations
from p2vit.program.graph import IntegerProgram, Node
from p2vit.program.ranges import proven_ranges
from support.programs import random_pixels, random_program

SMALL = {"image": (4, 4), "patch": 2, "dim": 6, "depth": 1, "heads": 2, "mlp": 7, "classes": 3}


def replaced(program: IntegerProgram, name: str, **changes: object) -> IntegerProgram:
    """A program with one operator's parameters changed."""
    nodes = tuple(
        Node(node.name, dataclasses.replace(node.operator, **changes), node.inputs)
        if node.name == name
        else node
        for node in program.nodes
    )
    return dataclasses.replace(program, nodes=nodes)


@pytest.mark.parametrize("form", ["linear", "log2"])
@pytest.mark.parametrize("pool", ["token", "mean"])
def test_sound_programs_pass(form, pool):
    program = random_program(form=form, pool=pool)
    report = audit(program)
    assert report.passed, report.problems
    assert (report.float_ops, report.non_pot_scales) == (0, 0)
    assert sum(report.ops.values()) == len(program.nodes) == len(report.layers)
    assert report.max_accumulator_bits == max(layer.accumulator_bits for layer in report.layers)
    assert report.max_accumulator_bits <= report.max_register_bits <= 32
    assert json.loads(report.model_dump_json())["program_sha256"] == report.program_sha256


def test_rows_come_from_the_actual_weights():
    program = random_program(**SMALL)
    report = audit(program)
    row = next(layer for layer in report.layers if layer.name == "patch_embed")
    operator = program.node("patch_embed").operator
    weight, bias = operator.weight.astype(int), operator.bias.astype(int)
    high = max(
        sum(max(w * 127, w * -128) for w in row_) + max(b, 0) + (1 << (s - 1) if s > 0 else 0)
        for row_, b, s in zip(weight.tolist(), bias.tolist(), operator.shift.tolist(), strict=True)
    )
    assert row.accumulator_high == high
    assert row.accumulator_bits == signed_bits(row.accumulator_low, row.accumulator_high)
    assert row.weight_bits == 8


@pytest.mark.parametrize("seed", range(6))
def test_nothing_leaves_its_proven_range(seed):
    program = random_program(**SMALL, seed=seed, form="log2" if seed % 2 else "linear")
    ranges = proven_ranges(program)
    pixels = random_pixels(program, 8, seed)
    pixels[0], pixels[1] = 0, 255
    for name, values in ReferenceExecutor(program).run(pixels, [n.name for n in program.nodes]).items():
        low, high = ranges[name].output
        assert low <= values.min()
        assert values.max() <= high


WRONG_SHIFTS = [
    ("patch_embed", "shift"),
    ("blocks.0.norm1", "shift"),
    ("blocks.0.attn.q", "shift"),
    ("blocks.0.attn.softmax", "shift"),
    ("blocks.0.attn.values", "shift"),
    ("blocks.0.add1", "shift"),
    ("blocks.0.add1", "left_a"),
    ("blocks.0.add2", "left_b"),
    ("feature", "shift"),
    ("feature", "accumulator_exponent"),
    ("head", "accumulator_exponent"),
]


@pytest.mark.parametrize(("name", "parameter"), WRONG_SHIFTS)
def test_one_wrong_shift_is_found_and_counted(name, parameter):
    program = random_program(**SMALL)
    value = getattr(program.node(name).operator, parameter).copy()
    value[-1] += 1
    report = audit(replaced(program, name, **{parameter: value}))
    assert not report.passed
    assert report.non_pot_scales >= 1
    if value.size > 1:
        assert report.non_pot_scales == 1
    assert any(problem.startswith(f"{name}: ") and "imply" in problem for problem in report.problems)


def test_pooled_sum_is_checked():
    program = random_program(**SMALL, pool="mean")
    report = audit(replaced(program, "pool", shift=np.array([3])))
    assert report.non_pot_scales == 6
    assert report.problems == ["pool: shift at [0] is 3; the exponents imply 2 (6 of 6 differ)"]


def test_wrong_exponents_of_tensors_are_found():
    program = random_program(**SMALL)
    spec = dataclasses.replace(program.tensors["blocks.0.attn.v"], exponent=np.array(-3))
    report = audit(dataclasses.replace(program, tensors={**program.tensors, spec.name: spec}))
    # Both the layer that writes it and the one that reads it notice, for each of the 6 channels.
    assert report.non_pot_scales == 12


def test_unknown_accumulator_exponents_do_not_pass():
    program = random_program(**SMALL)
    report = audit(replaced(program, "head", accumulator_exponent=np.zeros(0, np.int8)))
    assert report.non_pot_scales == 1
    assert report.problems == ["head: number of accumulator exponents is 0; the exponents imply 3"]


def test_a_scale_that_is_no_power_of_two_is_counted():
    program = random_program(**SMALL)
    spec = dataclasses.replace(program.tensors["head"])
    object.__setattr__(spec, "exponent", np.full(3, -11.5))
    report = audit(dataclasses.replace(program, tensors={**program.tensors, "head": spec}))
    assert report.non_pot_scales == 3
    assert any("exponents must be integers" in problem for problem in report.problems)


def test_an_accumulator_that_overflows_is_named():
    program = random_program(**SMALL)
    bias = np.full(3, 2**31 - 1, np.int32)
    report = audit(replaced(program, "head", bias=bias))
    assert not report.passed
    assert report.max_accumulator_bits == 33
    assert any(
        "head: its accumulator can reach" in problem and "32 bits" in problem for problem in report.problems
    )


def test_floats_are_counted():
    program = random_program(**SMALL)

    class Leaky(Linear):
        def compute(self, *inputs):
            return super().compute(*inputs) * 1.0

    operator = program.node("head").operator
    leaky = Leaky(**{f.name: getattr(operator, f.name) for f in dataclasses.fields(operator)})
    nodes = tuple(Node(n.name, leaky, n.inputs) if n.name == "head" else n for n in program.nodes)
    report = audit(dataclasses.replace(program, nodes=nodes))
    assert report.float_ops == 1
    assert "head: 1 of its operands, parameters and results are not integers" in report.problems


def test_a_proof_that_fails_is_noticed():
    program = random_program(**SMALL)
    ranges = proven_ranges(program)
    ranges["patches"] = dataclasses.replace(ranges["patches"], output=(0, 0))
    count, problems = float_operations(program, random_pixels(program, 1), ranges)
    assert count == 0
    assert any("outside the proven 0..0" in problem for problem in problems)


def test_a_graph_that_does_not_fit_is_reported():
    program = random_program(**SMALL)
    report = audit(dataclasses.replace(program, nodes=program.nodes[1:]))
    assert report.problems == ["node patch_embed: reads 'patches', which no earlier node writes"]
    assert not report.passed


def test_every_kind_can_be_audited():
    kinds = {type(node.operator) for node in random_program(**SMALL).nodes}
    assert {LayerNorm, Softmax, Linear} <= kinds
