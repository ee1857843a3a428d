"""Refuses programs that exceed a size of the machine, in the words of ``p2vit rtl --set``.

The limits are those of `p2vit.accel.load_store.fit`, which `p2vit simulate` checks too.
"""

from collections.abc import Sequence

from p2vit.accel.chunks.gemm import folds
from p2vit.accel.load_store.fit import Shortfall, shortfalls_of
from p2vit.accel.load_store.formats import SUM_BYTES
from p2vit.accel.load_store.steps import Step
from p2vit.accel.machine.description import Machine
from p2vit.accel.workload.operations import Operation
from p2vit.hdl.compile.errors import unfit
from p2vit.hdl.top.machine import RtlMachine


def require_fit(machine: RtlMachine, described: Machine, steps: Sequence[Step]) -> None:
    """Check that every operation fits the machine.

    Args:
        machine: Sizes of the accelerator.
        described: Description of the same machine.
        steps: Steps of the program.

    Raises:
        UnfitProgramError: An operation does not fit. The message names the first such layer, the limit and the lever.
    """
    options = described.load_store
    assert options is not None
    for step in steps:
        pixels = step.run if step.form == "gather" else 0
        for short in shortfalls_of(described, options, step.operation, pixels):
            raise unfit(step.operation.name, *_worded(machine, step.operation, short))


def _worded(machine: RtlMachine, op: Operation, short: Shortfall) -> tuple[str, str]:
    """Return what does not fit, and the lever."""
    chunks = folds(op.inner, machine.lanes)
    columns = f"vector_columns is {machine.vector_columns}"
    wider = f"raise vector_columns to {short.need} or more"
    match short.limit:
        case "row":
            return (
                f"rows have {op.inner} terms; a line holds row_rows × lanes = {machine.longest_row}",
                f"raise row_rows to {chunks} or more",
            )
        case "weights":
            return (
                f"{machine.lines} columns of {op.inner} terms take {chunks} rows of the weight buffer; it has "
                f"{machine.weight_rows}",
                f"raise weight_rows to {chunks} or more",
            )
        case "shifters":
            return (
                "its codes are log2, and the machine has no shifters",
                "set shifters, or quantize with --method p2vit-linear",
            )
        case "pixels":
            return f"one row of a patch has {short.need} bytes; {columns}", wider
    what = {
        "layernorm": f"it normalises {short.need} channels",
        "softmax": f"rows have {op.cols} keys and a sum of {SUM_BYTES} bytes",
    }.get(op.kind, f"a table serves {short.need} columns")
    return f"{what}; {columns}", wider
