"""At the bounds: what is proved is reached or never passed, and every back-end is right there."""

import numpy as np
import pytest

from p2vit.engine.executor import RefusedProgramError
from p2vit.engine.native import NativeExecutor, instruction_sets
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.export.onnx.executor import OnnxExecutor
from p2vit.numerics.rounding import signed_bits
from p2vit.program.audit import audit
from p2vit.program.ranges import proven_ranges
from support.extremes import EXTREMES, OVER
from support.tiers import extended
from support.unlimited import STEPS, unlimited

PIXELS = np.zeros((1, 1, 1, 3), np.uint8)
ISAS = [name for name, reason in instruction_sets().items() if not reason]


def register_problems(program):
    """What the audit says of registers; scales are not meant here."""
    return [problem for problem in audit(program).problems if "bits do not hold" in problem]


@pytest.mark.parametrize("name", EXTREMES)
def test_bounds_are_reached_or_never_passed(name):
    extreme = EXTREMES[name]()
    program = extreme.program
    names = [node.name for node in program.nodes]
    expected = ReferenceExecutor(program).run(PIXELS, names)
    proven = proven_ranges(program)
    assert register_problems(program) == []
    for node in program.nodes:
        if type(node.operator) not in STEPS:
            continue
        output, held = unlimited(node.operator, *(expected[source] for source in node.inputs))
        assert np.array_equal(output.astype(np.int64), expected[node.name].astype(np.int64)), node.name
        reach = proven[node.name]
        bounds = {**reach.registers, **reach.wide}
        assert held.keys() == bounds.keys(), node.name
        for register, (low, high) in held.items():
            least, most = bounds[register]
            assert least <= low, (node.name, register, low, least)
            assert high <= most, (node.name, register, high, most)
            if node.name == extreme.node and register in extreme.reached:
                assert low == least or high == most, (node.name, register, (low, high), (least, most))


@pytest.mark.parametrize("name", extended(EXTREMES, quick=list(EXTREMES)[::3]))
def test_every_back_end_is_right_at_the_bounds(name):
    torch = pytest.importorskip("torch")
    from p2vit.engine.torch.executor import TorchExecutor

    assert torch
    program = EXTREMES[name]().program
    names = [node.name for node in program.nodes]
    expected = ReferenceExecutor(program).run(PIXELS, names)
    executors = {"torch": TorchExecutor(program), "onnx": OnnxExecutor(program)}
    if name.startswith(("add(True, 15", "add(False, 15")):
        with pytest.raises(
            P2vitError, match="the aligned sum may leave int32 for operands of 16 and 16 bits"
        ):
            executors.pop("onnx").run(PIXELS)
    for isa in ISAS:
        try:
            executors[isa] = NativeExecutor(program, 1, isa, tested=False)
        except RefusedProgramError:
            assert max(spec.shape[0] for spec in program.tensors.values()) > 32767
    for backend, executor in executors.items():
        for keep in (names, []):
            found = executor.run(PIXELS, keep)
            wrong = [each for each in found if not np.array_equal(found[each], expected[each])]
            assert wrong == [], backend


@pytest.mark.parametrize("name", OVER)
def test_one_step_over_a_bound_fails_the_audit(name):
    extreme = OVER[name]()
    found = register_problems(extreme.program)
    assert found
    assert any(problem.startswith(f"{extreme.node}: its ") for problem in found)
    assert not audit(extreme.program).passed


def test_every_register_is_listed():
    """One row per register, with its width and what it may have; the numerator may have more than 32 bits."""
    extreme = EXTREMES["values('log2', 12, 127)"]()
    report = audit(extreme.program)
    (row,) = [layer for layer in report.layers if layer.name == "values"]
    listed = {register.name: (register.bits, register.limit) for register in row.registers}
    assert listed["numerator"] == (signed_bits(0, 1 << 39), 64)
    assert {name for name, (_, limit) in listed.items() if limit == 32} == {
        "accumulator", "sum", "reciprocal", "reduced", "product"
    }  # fmt: skip
    assert report.max_wide_register_bits == 41 > 32 >= report.max_register_bits
    assert report.max_accumulator_bits == 32
