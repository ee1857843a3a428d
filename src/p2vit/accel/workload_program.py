"""The workload of an integer program: the same operations, with the bits that quantization chose.

A program is read by duck typing, through `ProgramNode`: this package needs the shapes and bits of a program's operators, not
their integers. Operators that only rename or slice rows cost what moving those rows costs.
"""

from collections.abc import Sequence
from typing import Protocol

from p2vit.accel.problems import AccelError, did_you_mean
from p2vit.accel.workload import Kind, Operation, Part, Workload

# Operator class names of the integer program and what they are here.
KINDS: dict[str, Kind] = {
    "Linear": "linear",
    "Scores": "scores",
    "Softmax": "softmax",
    "AttentionValues": "attention_values",
    "LayerNorm": "layernorm",
    "Lookup": "lookup",
    "Add": "add",
    "Tokens": "tokens",
    "SelectToken": "move",
    "Pool": "pool",
    "Affine": "affine",
}


class ProgramNode(Protocol):
    """What is asked of one node.

    Attributes:
        name: Unique, with ``blockN.`` in front inside block N.
        operator: Class name of its operator.
        rows: Rows of its output, per instance.
        cols: Columns of its output, per instance.
        inner: Length of the reduction; 0 where it is not a matrix product.
        heads: Independent instances; 1 outside attention.
        input_bits: Bits of an input element.
        weight_bits: Bits of a stored weight; 0 without weights.
        output_bits: Bits of an output element.
        log2_codes: Whether softmax codes are exponents.
    """

    name: str
    operator: str
    rows: int
    cols: int
    inner: int
    heads: int
    input_bits: int
    weight_bits: int
    output_bits: int
    log2_codes: bool


def program_workload(
    name: str, nodes: Sequence[ProgramNode], *, input_bytes: int, constant_bytes: int = 0
) -> Workload:
    """Every operation of an integer program on one image.

    Args:
        name: What the workload is called.
        nodes: The program's nodes in order of execution.
        input_bytes: Bytes of one image's pixels.
        constant_bytes: Bytes of position constants and tokens.

    Returns:
        Operations in program order.

    Raises:
        AccelError: listing every node whose operator has no cost here.
    """
    unknown = [
        f"{node.name}: operator {node.operator!r} has no cost; {did_you_mean(node.operator, KINDS)}"
        for node in nodes
        if node.operator not in KINDS
    ]
    if unknown:
        raise AccelError(f"program {name}", unknown)
    operations = []
    part: Part = "embedding"
    for node in nodes:
        kind, block = KINDS[node.operator], _block(node.name)
        part = _part(
            part,
            kind,
            block,
            after_attention=any(op.block == block and op.kind == "add" for op in operations),
        )
        operations.append(
            Operation(
                node.name,
                kind,
                part,
                block,
                node.rows,
                node.cols,
                node.inner,
                node.heads,
                node.heads,
                node.input_bits,
                node.weight_bits,
                node.output_bits,
                node.log2_codes,
            )
        )
    return Workload(name, tuple(operations), input_bytes, constant_bytes)


def _block(name: str) -> int:
    head = name.split(".", 1)[0]
    digits = head.removeprefix("block")
    return int(digits) if head.startswith("block") and digits.isdigit() else -1


def _part(before: Part, kind: Kind, block: int, *, after_attention: bool) -> Part:
    """Part of the network: attention ends with a block's first add; outside the blocks, what comes last is the head."""
    if block >= 0:
        return "mlp" if after_attention else "attention"
    return "embedding" if before == "embedding" else "head"
