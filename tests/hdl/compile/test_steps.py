from dataclasses import replace

import pytest

from p2vit.accel.chunks.sections import split_sections
from p2vit.accel.load_store.steps import steps_of
from p2vit.accel.workload.program import program_workload
from p2vit.hdl.compile.plan import plan_layouts
from p2vit.hdl.compile.steps import steps_of_program
from support.rtl_programs import ODD, PROGRAMS, compiled, program


def of_program(name):
    return steps_of_program(plan_layouts(program(name)), compiled(name, ODD).layouts)


def inferred(name):
    """Infer the steps of a program from its workload, section by section, with positions in the whole model."""
    steps, before = [], None
    for operations in split_sections(program_workload("program", program(name)).operations):
        base = len(steps)
        steps += [
            replace(step, reads=tuple(base + at for at in step.reads))
            for step in steps_of(operations, before)
        ]
        before = operations[-1]
    return steps


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_graph_says_what_the_workload_lets_infer(name):
    for step, expected in zip(of_program(name), inferred(name), strict=True):
        vector = step.form in ("rows", "sum", "softmax")
        assert step.widths == expected.widths[: len(step.widths)] or not vector, step.operation.name
        assert replace(step, widths=()) == replace(expected, widths=()), step.operation.name


def test_widths_are_those_of_each_operand():
    steps = {step.operation.name: step for step in of_program("linear")}
    layouts = compiled("linear", ODD).layouts
    for node in program("linear").nodes:
        if node.name.endswith("add1"):
            assert steps[node.name].widths == tuple(layouts[name].bytes_each for name in node.inputs)
    assert len(steps["tokens"].widths) == 2  # patches, and constants in the form of the output
