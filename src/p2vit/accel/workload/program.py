"""Workload of an integer program, with the bit widths that quantization chose."""

from p2vit.accel.workload.build import Widths, blueprint_workload
from p2vit.accel.workload.operations import Workload
from p2vit.models.blueprint.step import Blueprint, Part, Step
from p2vit.numerics import AttentionValues, Linear, Lookup, Rotary, ScoreBias, Scores, Softmax, SumTokens
from p2vit.program.graph import IntegerProgram, Node


def program_workload(name: str, program: IntegerProgram) -> Workload:
    """Make the workload of an integer program for one image.

    Args:
        name: Name of the workload.
        program: Integer program.

    Returns:
        Operations in program order, named like the nodes of the program.

    Raises:
        AccelError: An operator has no cost model; the message lists all such nodes.
    """
    operators = {node.name: node.operator for node in program.nodes}
    widths = Widths(
        {tensor: spec.bits for tensor, spec in program.tensors.items()},
        {node: op.weight_bits for node, op in operators.items() if isinstance(op, Linear)},
        {
            node: len(op.table)
            for node, op in operators.items()
            if isinstance(op, Lookup) and op.table.ndim == 2
        },
    )
    return blueprint_workload(program_blueprint(name, program), widths)


def program_blueprint(name: str, program: IntegerProgram) -> Blueprint:
    """Read the blueprint of an integer program off its graph: operators, shapes and edges.

    Args:
        name: Name of the blueprint.
        program: Integer program.
    """
    steps: list[Step] = []
    part: Part = "embedding"
    for node in program.nodes:
        block = _block(node.name)
        if ".merge." in node.name:
            steps.append(_step(program, node, "merge", block))
            continue
        if block >= 0:
            own = [step for step in steps if step.block == block and step.part != "merge"]
            last = own[-1].part if own and steps[-1] is own[-1] else "attention"
            # Attention ends with the block's first add.
            after = any(step.operator == "Add" for step in own) and steps[-1].operator == "Add"
            part = "mlp" if last == "mlp" or after else "attention"
        elif part in ("attention", "mlp"):
            part = "head"
        steps.append(_step(program, node, part, block))
    return Blueprint(name, program.pixels.shape, tuple(steps), program.output, program.feature)


def _step(program: IntegerProgram, node: Node, part: Part, block: int) -> Step:
    operator, shape = node.operator, program.tensors[node.name].shape
    heads = 1
    if isinstance(operator, Scores | AttentionValues):
        heads = operator.heads
    elif isinstance(operator, Rotary):
        heads = shape[1] // (2 * operator.cosine.shape[1])
    elif isinstance(operator, ScoreBias | Softmax):
        heads = shape[0]
    return Step(
        node.name,
        type(operator).__name__,
        node.inputs,
        shape,
        part=part,
        block=block,
        heads=heads,
        windows=_windows(program, node),
        reads=(operator.first, operator.count) if isinstance(operator, SumTokens) else (0, 0),
    )


def _windows(program: IntegerProgram, node: Node) -> int:
    """Return the number of windows of an attention operator; 1 for other operators."""
    operator = node.operator
    if isinstance(operator, Scores | AttentionValues):
        return operator.windows
    if isinstance(operator, Softmax):
        source = program.node(node.inputs[0])
        return _windows(program, source) if isinstance(source.operator, ScoreBias) else 1
    if isinstance(operator, ScoreBias):
        _, rows, keys = program.tensors[node.name].shape
        return rows // keys
    return 1


def _block(name: str) -> int:
    """Return N for a node named ``blocks.N.…``, else -1."""
    head, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return int(number) if head == "blocks" and number.isdigit() else -1
