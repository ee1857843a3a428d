"""Checks whether a section fits a load–store machine, and names the changes that would make it fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from p2vit.accel.chunks.gemm import folds
from p2vit.accel.chunks.memory import Misfit
from p2vit.accel.load_store.formats import SUM_BYTES
from p2vit.accel.load_store.steps import pixel_run
from p2vit.accel.machine.description import LoadStore, Machine
from p2vit.accel.workload.operations import Operation

#: Bytes per number in the array's output buffer, and in the vector engine's input and output buffers.
ARRAY_OUT_BYTES, VECTOR_IN_BYTES, VECTOR_OUT_BYTES = 4, 4, 2


def buffer_bytes(lines: int, options: LoadStore) -> int:
    """Compute the bytes of the row, vector input and output buffers, which share the activation buffer."""
    of_a_line = (
        options.row_terms
        + options.columns_per_run * ARRAY_OUT_BYTES
        + options.vector_columns * (VECTOR_IN_BYTES + VECTOR_OUT_BYTES)
    )
    return options.slots * lines * of_a_line


#: Limits of a machine that an operation can exceed.
Limit = Literal["row", "weights", "vector", "pixels", "shifters"]


@dataclass(frozen=True)
class Shortfall:
    """Limit that an operation exceeds.

    Attributes:
        limit: The limit: terms of a row in a line; bytes of the weight buffer; columns of the vector buffer, for an
            operation or for a row of pixels; or shifters.
        need: What the operation needs.
        bound: What the machine has.
    """

    limit: Limit
    need: int
    bound: int


def shortfalls_of(machine: Machine, options: LoadStore, op: Operation, pixels: int) -> tuple[Shortfall, ...]:
    """Find all limits that an operation exceeds. The compiler of the generated accelerator checks them here as well.

    Args:
        machine: Load–store machine.
        options: Sizes of its engines.
        op: Operation.
        pixels: Bytes of one row of pixels of a patch, if the operation gathers patches; otherwise 0.
    """
    array = machine.chunks.mac_array
    # Weight bytes of one column group in every slot, padded to whole rows of lanes.
    columns = folds(op.inner, array.lanes_per_line) * array.macs_per_cycle * options.slots
    whole = {"layernorm": op.cols, "softmax": op.cols + SUM_BYTES}.get(op.kind, 0)
    if op.kind == "lookup" and op.tables > 1:
        whole = op.cols // op.tables
    shifts = op.kind == "attention_values" and op.log2_codes
    checks: tuple[tuple[Limit, int, int], ...] = (
        ("row", op.inner, options.row_terms),
        ("weights", columns, machine.buffers.weight.size_bytes),
        ("vector", whole, options.vector_columns),
        ("pixels", pixels, options.vector_columns),
        ("shifters", int(shifts), int(options.shifters)),
    )
    return tuple(Shortfall(limit, need, bound) for limit, need, bound in checks if need > bound)


def has_engine(op: Operation) -> bool:
    """Return whether an engine executes this kind of operation, whatever its size.

    No engine permutes rows, makes constant queries, or executes score biases, rotary positions and gates.
    """
    if op.kind == "move":
        return op.rows == 1 or op.part == "embedding"
    if op.kind == "tokens":
        return op.part == "embedding"
    return op.kind not in ("score_bias", "rotary", "multiply")


def misfits_of(machine: Machine, options: LoadStore, operations: Sequence[Operation]) -> tuple[Misfit, ...]:
    """Find all reasons why a section cannot run.

    Args:
        machine: Load–store machine.
        options: Sizes of its engines.
        operations: Operations of the section.
    """
    found = []
    need, size = buffer_bytes(machine.chunks.mac_array.lines, options), machine.buffers.activation.size_bytes
    if need > size:
        found.append(
            Misfit(
                "row, vector and output buffers do not fit the activation buffer",
                operations[0].name, need, size, "bytes",
                (f"buffers.activation.size_bytes of at least {need}", "smaller load_store sizes"),
            )
        )  # fmt: skip
    for op in operations:
        pixels = pixel_run(op.cols) if op.kind == "move" and op.part == "embedding" else 0
        found += [_worded(machine, op, short) for short in shortfalls_of(machine, options, op, pixels)]
        found += _formless(op)
    return tuple(found)


def _worded(machine: Machine, op: Operation, short: Shortfall) -> Misfit:
    """Word a shortfall with the keys of a machine description."""
    lines = machine.chunks.mac_array.lines
    statement, unit, lever = {
        "row": (f"rows of {op.name} are longer than a line holds", "terms", "load_store.row_terms"),
        "weights": (f"{lines} weight columns of {op.name} do not fit a slot", "bytes", "buffers.weight.size_bytes"),
        "vector": (f"rows of {op.name} are longer than the vector buffer", "columns", "load_store.vector_columns"),
        "pixels": (
            f"one row of pixels of {op.name} is longer than the vector buffer", "columns", "load_store.vector_columns",
        ),
        "shifters": (f"{op.name} has log2 codes; there are no shifters", "shifters", ""),
    }[short.limit]  # fmt: skip
    levers: tuple[str, ...] = (f"{lever} of at least {short.need}",)
    if short.limit == "shifters":
        levers = ("load_store.shifters: true", "8-bit softmax codes (--method p2vit-linear)")
    return Misfit(statement, op.name, short.need, short.bound, unit, levers)


def _formless(op: Operation) -> list[Misfit]:
    """Find operations that no engine can execute, such as row permutations and window attention."""
    windows = op.instances // op.heads
    lever = ("organisation: chunks",)
    if windows > 1:
        return [Misfit(f"attention of {op.name} is within windows; the engines hold attention over all tokens",
                       op.name, windows, 1, "windows", lever)]  # fmt: skip
    if has_engine(op):
        return []
    what = f"no engine executes {op.name} ({op.kind})"
    if op.kind == "tokens":
        what = f"no engine makes the constant query {op.name}"
    return [Misfit(what, op.name, op.elements, 0, "elements", lever)]
