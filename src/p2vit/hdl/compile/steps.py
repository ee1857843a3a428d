"""Steps of an integer program for the scheduler: the form of every node, and the nodes that it reads."""

from p2vit.accel.load_store.steps import Form, Step
from p2vit.accel.workload.program import program_workload
from p2vit.hdl.compile.layout import TensorLayout
from p2vit.hdl.compile.plan import LayoutPlan
from p2vit.numerics import (
    AssembleTokens,
    AttentionValues,
    Linear,
    Patchify,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.program.graph import PIXELS, Node


def steps_of_program(plan: LayoutPlan, layouts: dict[str, TensorLayout]) -> tuple[Step, ...]:
    """Make the steps of a program, one per node, in the order of the nodes.

    Args:
        plan: Plan of the program's layouts.
        layouts: Tensor → its layout in memory.
    """
    program = plan.program
    operations = program_workload("program", program).operations
    places = {node.name: index for index, node in enumerate(program.nodes)}
    steps = []
    for node, operation in zip(program.nodes, operations, strict=True):
        sources = [name for name in node.inputs if name != PIXELS]
        output = layouts[node.name]
        widths = [layouts[name].bytes_each for name in sources]
        if isinstance(node.operator, AssembleTokens):
            widths.append(output.bytes_each)  # the second operand is constant, in the form of the output
        steps.append(
            Step(
                operation,
                _form(plan, node),
                tuple(places[name] for name in sources),
                tuple(widths),
                0 if output.transposed else output.first_row,
                _start(node, layouts),
                output.stack if output.transposed else 1,
                _run(plan, node),
            )
        )
    return tuple(steps)


def _form(plan: LayoutPlan, node: Node) -> Form:
    match node.operator:
        case Patchify():
            return "gather"
        case Linear():
            return "values" if node.name in plan.attention_of_values else "linear"
        case Scores():
            return "scores"
        case AttentionValues():
            return "attention"
        case Softmax():
            return "softmax"
        case SelectToken() | SumTokens():
            return "sum"
    return "rows"


def _start(node: Node, layouts: dict[str, TensorLayout]) -> int:
    """Return the first row that a sum over tokens adds, counted from the first line of group 0."""
    operator = node.operator
    if isinstance(operator, SelectToken):
        return layouts[node.inputs[0]].first_row + operator.index
    if isinstance(operator, SumTokens):
        return layouts[node.inputs[0]].first_row + operator.first
    return 0


def _run(plan: LayoutPlan, node: Node) -> int:
    """Return the bytes of one row of pixels of a patch."""
    if not isinstance(node.operator, Patchify):
        return 1
    return node.operator.patch_size * plan.program.pixels.shape[-1]
