"""Operations of a load–store machine with what they read: all that the scheduler has to know about a model.

The steps of a workload are inferred from the order of its operations. The steps of an integer program come from the
edges of its graph (`p2vit.hdl.compile.steps`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Literal

from p2vit.accel.chunks.gemm import folds
from p2vit.accel.workload.operations import Operation

#: How the engines execute an operation. ``values``: the values of attention, channel by channel; ``rows``: LayerNorm,
#: table, add, affine and token assembly, row group by row group; ``sum``: a sum over tokens, or one token.
Form = Literal["gather", "linear", "values", "scores", "attention", "softmax", "rows", "sum"]

#: Forms that run on the array; the vector engine executes the others.
ARRAY_FORMS: tuple[Form, ...] = ("linear", "values", "scores", "attention")


@dataclass(frozen=True)
class Step:
    """Operation with its form and its operands.

    Attributes:
        operation: Shape and widths.
        form: How the engines execute it.
        reads: Position of the operation that each operand comes from; −1 is the last operation of the previous
            section. Empty if the operation reads pixels.
        widths: Bytes per number of each operand of the vector engine.
        first_row: Rows of the first group that stay free before the first row, for the prefix tokens.
        start: Of a sum over tokens: first row of the operand that is added.
        heads: Of the values of attention: number of heads, each of which begins a new group of channels.
        run: Of a gather: bytes of one row of pixels of a patch, which stay together.
    """

    operation: Operation
    form: Form
    reads: tuple[int, ...]
    widths: tuple[int, ...] = ()
    first_row: int = 0
    start: int = 0
    heads: int = 1
    run: int = 1


def steps_of(operations: Sequence[Operation], before: Operation | None) -> tuple[Step, ...]:
    """Infer the steps of a section of a workload.

    Args:
        operations: Operations in program order.
        before: Operation that the section's first operation reads; None at the start, where it reads pixels.
    """
    return tuple(_step(operations, index, before) for index in range(len(operations)))


def _step(operations: Sequence[Operation], index: int, before: Operation | None) -> Step:
    op, projection = operations[index], _projection(operations, index)
    source = index - {"q": 1, "k": 2, "v": 3}.get(projection, 1)
    reads = (source,) if source >= 0 or before else ()
    widths = (folds(op.input_bits, 8),) * 2
    first_row = _prefix(operations, index)
    match op.kind:
        case "linear" if projection == "v":
            heads = next(later.heads for later in operations[index:] if later.kind == "scores")
            return Step(op, "values", reads, widths, heads=heads)
        case "linear":
            return Step(op, "linear", reads, widths, first_row)
        case "scores":
            return Step(op, "scores", (index - 3, index - 2))
        case "attention_values":
            scores = next(at for at in range(index, -1, -1) if operations[at].kind == "scores")
            return Step(op, "attention", (index - 1, scores - 1))
        case "softmax":
            return Step(op, "softmax", reads, widths)
        case "move" if op.rows > 1 or not reads:
            return Step(op, "gather", reads, first_row=first_row, run=pixel_run(op.cols))
        case "pool" | "move":
            last = operations[index - 1] if index else before
            assert last is not None
            return Step(op, "sum", reads, widths, start=last.rows - op.rows if op.kind == "pool" else 0)
        case "add":  # the residual stream, then the other operand
            stream = next((at for at in range(index - 2, -1, -1) if operations[at].kind == "add"), -1)
            return Step(op, "rows", (stream, *reads), widths)
        case _:
            return Step(op, "rows", reads, widths, first_row)


def _prefix(operations: Sequence[Operation], index: int) -> int:
    """Return the number of free rows before the first row of an operation whose rows become tokens."""
    for later in operations[index:]:
        if later.kind == "tokens":
            return max(0, later.rows - operations[index].rows)
        if later.kind not in ("move", "linear", "lookup"):
            break
    return 0


def _projection(operations: Sequence[Operation], index: int) -> str:
    """Return which of q, k and v a linear layer is; empty if it is none of them."""
    for ahead, name in enumerate("vkq", start=1):
        later = operations[index + ahead : index + ahead + 1]
        if later and later[0].kind == "scores":
            return name
    return ""


def pixel_run(cols: int) -> int:
    """Return the bytes of one row of pixels of a square patch of RGB pixels; 1 if the patch has another form."""
    size = isqrt(cols // 3)
    return 3 * size if 3 * size * size == cols else 1
