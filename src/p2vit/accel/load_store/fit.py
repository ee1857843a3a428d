"""Checks whether a section fits a load–store machine, and names the changes that would make it fit."""

from collections.abc import Sequence

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
        found += _too_long(machine, options, op)
        found += _formless(options, op)
    return tuple(found)


def _too_long(machine: Machine, options: LoadStore, op: Operation) -> list[Misfit]:
    """Find rows and weight columns that are too long for a buffer."""
    array, weights = machine.chunks.mac_array, machine.buffers.weight.size_bytes
    # Weight bytes of one column group in every slot, padded to whole rows of lanes.
    columns = folds(op.inner, array.lanes_per_line) * array.macs_per_cycle * options.slots
    whole = {"layernorm": op.cols, "softmax": op.cols + SUM_BYTES}.get(op.kind, 0)
    if op.kind == "lookup" and op.tables > 1:
        whole = op.cols // op.tables
    pixels = pixel_run(op.cols) if op.kind == "move" and op.part == "embedding" else 0
    checks = (
        ("rows of {} are longer than a line holds", op.inner, options.row_terms, "terms", "load_store.row_terms"),
        (f"{array.lines} weight columns of {{}} do not fit a slot", columns, weights, "bytes",
         "buffers.weight.size_bytes"),
        ("rows of {} are longer than the vector buffer", whole, options.vector_columns, "columns",
         "load_store.vector_columns"),
        ("one row of pixels of {} is longer than the vector buffer", pixels, options.vector_columns, "columns",
         "load_store.vector_columns"),
    )  # fmt: skip
    return [
        Misfit(statement.format(op.name), op.name, need, bound, unit, (f"{path} of at least {need}",))
        for statement, need, bound, unit, path in checks
        if need > bound
    ]


def _formless(options: LoadStore, op: Operation) -> list[Misfit]:
    """Find operations that no engine can execute, such as row permutations and window attention."""
    windows = op.instances // op.heads
    lever = ("organisation: chunks",)
    if windows > 1:
        return [Misfit(f"attention of {op.name} is within windows; the engines hold attention over all tokens",
                       op.name, windows, 1, "windows", lever)]  # fmt: skip
    if op.kind == "attention_values" and op.log2_codes and not options.shifters:
        levers = ("load_store.shifters: true", "8-bit softmax codes (--method p2vit-linear)")
        return [Misfit(f"{op.name} has log2 codes; there are no shifters", op.name, 1, 0, "shifters", levers)]
    if op.kind in ("score_bias", "rotary", "multiply") or (
        op.kind == "move" and op.rows > 1 and op.part != "embedding"
    ):
        return [
            Misfit(f"no engine executes {op.name} ({op.kind})", op.name, op.elements, 0, "elements", lever)
        ]
    if op.kind == "tokens" and op.part != "embedding":
        return [
            Misfit(
                f"no engine makes the constant query {op.name}", op.name, op.elements, 0, "elements", lever
            )
        ]
    return []
