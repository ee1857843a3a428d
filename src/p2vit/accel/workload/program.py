"""Workload of an integer program, with the bit widths that quantization chose."""

from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.workload.operations import NetworkPart, Operation, OperationKind, Workload
from p2vit.numerics import AttentionValues, Linear, Lookup, Rotary, ScoreBias, Scores, SumTokens
from p2vit.program.graph import IntegerProgram, Node

# Operator of the integer program → kind of operation. Patchify and SelectToken only move rows.
KINDS: dict[str, OperationKind] = {
    "Patchify": "move",
    "Linear": "linear",
    "AssembleTokens": "tokens",
    "LayerNorm": "layernorm",
    "Scores": "scores",
    "Softmax": "softmax",
    "AttentionValues": "attention_values",
    "Lookup": "lookup",
    "Add": "add",
    "GatherTokens": "move",
    "ConstantTokens": "tokens",
    "ScoreBias": "score_bias",
    "SelectToken": "move",
    "SumTokens": "pool",
    "Affine": "affine",
    "Rotary": "rotary",
    "Multiply": "multiply",
}


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
    unknown = [
        f"{node.name}: operator {_class(node)} has no cost; {suggestion(_class(node), KINDS)}"
        for node in program.nodes
        if _class(node) not in KINDS
    ]
    if unknown:
        raise AccelError(f"program {name}", unknown)
    operations: list[Operation] = []
    part: NetworkPart = "embedding"
    for node in program.nodes:
        block = _block(node.name)
        if ".merge." in node.name:
            operations.append(_operation(program, node, "merge", -1))
            continue
        if block >= 0:
            added = any(op.block == block and op.kind == "add" for op in operations)
            last = operations[-1].part if operations and operations[-1].block == block else "attention"
            # Attention ends with the block's first add.
            part = "mlp" if last == "mlp" or (added and operations[-1].kind == "add") else "attention"
        elif part in ("attention", "mlp"):
            part = "head"
        operations.append(_operation(program, node, part, block))
    pixels = program.pixels.shape
    tokens = next((op for op in operations if op.kind == "tokens"), None)
    constants = tokens.output_bytes if tokens else 0
    return Workload(name, tuple(operations), pixels[0] * pixels[1] * pixels[2], constants)


def _operation(program: IntegerProgram, node: Node, part: NetworkPart, block: int) -> Operation:
    """Make the operation of one node. Its shape is that of the output, without the batch."""
    operator, output = node.operator, program.tensors[node.name]
    first = program.tensors[node.inputs[0]]
    kind = KINDS[_class(node)]
    rows, cols = (1, *output.shape)[-2:]
    windows = _windows(program, node)
    inner = heads = weight_bits = 0
    log2_codes = False
    if isinstance(operator, Linear):
        inner, weight_bits = operator.weight.shape[1], operator.weight_bits
    elif isinstance(operator, Scores):
        inner, heads = operator.head_dim, operator.heads
    elif isinstance(operator, AttentionValues):
        inner, heads, cols = first.shape[-1], operator.heads, cols // operator.heads
        log2_codes = operator.form == "log2"
    elif isinstance(operator, Rotary):
        heads, cols = output.shape[1] // (2 * operator.cosine.shape[1]), 2 * operator.cosine.shape[1]
    elif isinstance(operator, ScoreBias):
        heads = output.shape[0]
    elif kind == "softmax":
        heads, log2_codes = output.shape[0], output.bits == 4
    elif isinstance(operator, SumTokens):
        rows = operator.count
    return Operation(
        node.name,
        kind,
        part,
        block,
        rows // windows,
        cols,
        inner,
        instances=windows * (heads or 1),
        heads=heads or 1,
        # Attention × V streams v, its second input.
        input_bits=program.tensors[node.inputs[-1]].bits if heads else first.bits,
        weight_bits=weight_bits,
        output_bits=output.bits,
        log2_codes=log2_codes,
        tables=len(operator.table) if isinstance(operator, Lookup) and operator.table.ndim == 2 else 1,
    )


def _windows(program: IntegerProgram, node: Node) -> int:
    """Return the number of windows of an attention operator; 1 for other operators."""
    operator = node.operator
    if isinstance(operator, Scores | AttentionValues):
        return operator.windows
    source = node if isinstance(operator, ScoreBias) else None
    if _class(node) == "Softmax" and isinstance(program.node(node.inputs[0]).operator, ScoreBias):
        source = program.node(node.inputs[0])
    if source is None:
        return 1
    _, rows, keys = program.tensors[source.name].shape
    return rows // keys


def _class(node: Node) -> str:
    return type(node.operator).__name__


def _block(name: str) -> int:
    """Return N for a node named ``blocks.N.…``, else -1."""
    head, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return int(number) if head == "blocks" and number.isdigit() else -1
