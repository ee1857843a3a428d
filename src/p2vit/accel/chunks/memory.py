"""Memory plan: what fits on the chip, what goes to DRAM instead, and what cannot run, with the reason.

Buffers also limit how many lines an operation may use, because the scores of a row group must fit.

Weights pass through the weight buffer in tiles of whole columns. It is double-buffered, so a tile may take half of it.
Activations stay on the chip if they fit. If not, the residual stream goes to DRAM first. If that is not enough, the
rows are processed in blocks, and every block fetches the weights again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from p2vit.accel.chunks.costs import columns_per_step, stationary_bytes
from p2vit.accel.chunks.gemm import folds
from p2vit.accel.machine.description import Machine
from p2vit.accel.workload.operations import Operation

#: Called with the index of an operation, the most lines that it may use, and the buffer that imposes the limit.
Limit = Callable[[int, int, str], None]
#: Kinds of operations that make q, k and v.
PROJECTING = ("linear", "rotary")
HEADS_IN_FLIGHT = 2  # attention of one head overlaps with the projections of the next
BIAS_BYTES = 4  # bias of one column
ROWS_HELD = 2  # one row is stationary while the next is loaded
SCORE_TILES = 2  # one tile of scores is written while the softmax reads the other


@dataclass(frozen=True)
class Misfit:
    """Reason why a mapping does not fit. It is a result, not an error.

    Attributes:
        statement: Sentence that names the data and the buffer that it does not fit.
        operation: First operation that does not fit.
        demand: Size that is needed.
        bound: Size that is available.
        unit: Unit of ``demand`` and ``bound``.
        levers: Changes to the machine or the model that would make it fit.
    """

    statement: str
    operation: str
    demand: float
    bound: float
    unit: str
    levers: tuple[str, ...]

    @property
    def gap(self) -> float:
        """Missing size, in ``unit``."""
        return self.demand - self.bound


@dataclass(frozen=True)
class BoundaryTraffic:
    """DRAM traffic at the ends of the model. It occurs even if all activations fit on the chip.

    Attributes:
        pixel_bytes: Pixels that the first operation reads.
        constant_bytes: Position constants that the token assembly reads.
        result_bytes: Results that the last operation writes.
    """

    pixel_bytes: int = 0
    constant_bytes: int = 0
    result_bytes: int = 0


@dataclass(frozen=True)
class MemoryPlan:
    """Use of buffers and DRAM by the operations of one section.

    Attributes:
        passes: Weight tiles of each operation; 1 without weights.
        fetched_bytes: DRAM bytes of each operation that can be prefetched: weights, pixels, position constants.
        spilled_bytes: DRAM bytes that move while each operation runs: activations, results, and weights that are
            fetched again for further row blocks.
        lines: Most lines of the MAC array that each operation may use; 0 if not even one row fits.
        limits: Buffer that imposes that limit, for each operation; empty if all lines may be used.
        peak_activation_bytes: Peak bytes in the activation buffer after spilling.
        misfits: Reasons why the section cannot run; empty if it can.
    """

    passes: tuple[int, ...]
    fetched_bytes: tuple[int, ...]
    spilled_bytes: tuple[int, ...]
    lines: tuple[int, ...]
    peak_activation_bytes: int
    misfits: tuple[Misfit, ...] = field(default=())
    limits: tuple[str, ...] = ()


def plan_memory(
    machine: Machine, operations: Sequence[Operation], boundary: BoundaryTraffic | None = None
) -> MemoryPlan:
    """Plan the memory of one section (a block, the embedding or the head).

    Args:
        machine: Machine that runs the section.
        operations: Operations of the section in program order.
        boundary: DRAM traffic at the ends of the model; None if the section has none.

    Returns:
        Plan; its misfits give the reasons and the levers if the section does not fit.
    """
    misfits: list[Misfit] = []
    passes = tuple(_weight_passes(machine, op, misfits) for op in operations)
    lines = [machine.chunks.mac_array.lines] * len(operations)
    limits = [""] * len(operations)

    def limit(index: int, most: int, buffer: str) -> None:
        if most < lines[index]:
            lines[index], limits[index] = most, buffer

    _limit_by_rows(machine, operations, limit, misfits)
    spill = _score_spill(machine, operations, limit, misfits)
    peak, residual = _activation_need(machine, operations)
    capacity = machine.buffers.activation.size_bytes
    blocks = 1
    if peak > capacity:
        # The residual stream is written after one sublayer and read by the next LayerNorm and the next add.
        for index, op in enumerate(operations):
            if op.kind in ("add", "tokens"):
                spill[index] += 2 * op.elements * op.output_bits // 8
            elif op.kind == "layernorm" and op.input_bits > 8:
                spill[index] += op.elements * op.input_bits // 8
        fixed = _fixed_need(machine, operations)
        row_need = peak - residual - fixed
        rows = max(op.rows for op in operations)
        smallest = fixed + folds(row_need, rows)
        if smallest > capacity:
            misfits.append(_activation_misfit(operations, smallest, capacity, machine))
        else:
            blocks = max(1, folds(row_need, max(1, capacity - fixed)))
            # A row group must not be larger than a row block.
            most = folds(rows, blocks - 1) - 1 if blocks > 1 else rows
            for index in range(len(operations)):
                limit(index, most, "activation_buffer")
        peak = fixed + folds(row_need, blocks)
    boundary = boundary or BoundaryTraffic()
    fetched = [op.weight_bytes + op.table_bytes for op in operations]
    for index, op in enumerate(operations):
        spill[index] += op.weight_bytes * (blocks - 1)
    fetched[0] += boundary.pixel_bytes
    if boundary.constant_bytes:
        fetched[next((i for i, op in enumerate(operations) if op.kind == "tokens"), 0)] += (
            boundary.constant_bytes
        )
    spill[-1] += boundary.result_bytes
    return MemoryPlan(passes, tuple(fetched), tuple(spill), tuple(lines), peak, tuple(misfits), tuple(limits))


def _weight_passes(machine: Machine, op: Operation, misfits: list[Misfit]) -> int:
    if not op.weight_bits:
        return 1
    half = machine.buffers.weight.size_bytes // 2
    wide = columns_per_step(machine, op)
    column_bytes = folds(op.inner * op.weight_bits, 8) + BIAS_BYTES
    columns = half // column_bytes // wide * wide
    if columns:
        return folds(op.cols, columns)
    need = 2 * wide * column_bytes
    misfits.append(
        Misfit(
            f"two tiles of {wide} weight column(s) of {op.name} do not fit the weight buffer",
            op.name, need, machine.buffers.weight.size_bytes, "bytes",
            (f"buffers.weight.size_bytes of at least {need}", "4-bit weights for this layer"),
        )
    )  # fmt: skip
    return op.cols


def _limit_by_rows(
    machine: Machine, operations: Sequence[Operation], limit: Limit, misfits: list[Misfit]
) -> None:
    """Limit the lines of operations whose rows are long, because the row buffer holds fewer of them."""
    row = machine.buffers.all.get("row")
    if row is None:
        return
    for index, op in enumerate(operations):
        need = ROWS_HELD * stationary_bytes(op)
        if need > row.size_bytes:
            misfits.append(
                Misfit(
                    f"two rows of {op.name} do not fit the row buffer",
                    op.name, need, row.size_bytes, "bytes",
                    (f"buffers.row.size_bytes of at least {need}",),
                )
            )  # fmt: skip
        elif need:
            limit(index, row.size_bytes // need, "row_buffer")


def _score_spill(
    machine: Machine, operations: Sequence[Operation], limit: Limit, misfits: list[Misfit]
) -> list[int]:
    """Compute the DRAM bytes of int32 scores that the accumulator buffer cannot hold between two operations.

    Without overlap, the scores of a whole head wait for the softmax. With overlap, two tiles of scores must fit, so
    the buffer limits the lines of all operations on scores.
    """
    spill = [0] * len(operations)
    size = machine.buffers.accumulator.size_bytes
    for index, op in enumerate(operations):
        if op.kind != "scores":
            continue
        if pipelined(machine):
            row = SCORE_TILES * op.cols * op.output_bits // 8
            if row > size:
                misfits.append(_score_misfit(op, row, size))
            values = next(
                i for i in range(index, len(operations)) if operations[i].kind == "attention_values"
            )
            for at in range(index, values + 1):
                limit(at, size // row, "accumulator_buffer")
        elif op.output_bytes // op.instances > size:
            spill[index] = op.output_bytes
            spill[next(i for i in range(index, len(operations)) if operations[i].kind == "softmax")] = (
                op.output_bytes
            )
    return spill


def _score_misfit(op: Operation, need: int, size: int) -> Misfit:
    return Misfit(
        f"{SCORE_TILES} rows of int32 scores of {op.name} do not fit the accumulator buffer",
        op.name,
        need,
        size,
        "bytes",
        (
            f"buffers.accumulator.size_bytes of at least {need}",
            "a smaller image or larger patches (fewer tokens)",
        ),
    )


def pipelined(machine: Machine) -> bool:
    """Return whether operations overlap; on a single engine they never do."""
    return machine.pipelining.inter_layer and machine.flows


def _activation_need(machine: Machine, operations: Sequence[Operation]) -> tuple[int, int]:
    """Compute the peak bytes with all activations on the chip, and the bytes of the residual stream in them."""
    residual = max(
        (op.elements * op.output_bits // 8 for op in operations if op.kind in ("add", "tokens")), default=0
    )
    # A linear layer needs its input and its output. Of q, k and v, only the heads in flight are on the chip.
    projections = _projections(operations)
    per_head = {op.name for op in projections}
    live = [
        op.rows * op.inner + (op.output_bytes if op.output_bits == 8 and op.name not in per_head else 0)
        for op in operations
        if op.kind == "linear"
    ]
    values = max((op.output_bytes for op in operations if op.kind == "attention_values"), default=0)
    norm_out = max((op.rows * op.inner for op in projections), default=0)
    in_flight = _heads_in_flight_bytes(machine, operations)
    return residual + in_flight + max([*live, norm_out + values]), residual


def _heads_in_flight_bytes(machine: Machine, operations: Sequence[Operation]) -> int:
    """Compute the bytes of q, k and v of the heads in flight, over all windows."""
    projections = _projections(operations)
    if not projections:
        return 0
    heads = next(op.heads for op in operations if op.kind == "scores")
    in_flight = min(HEADS_IN_FLIGHT, heads) if pipelined(machine) else heads
    return sum(op.output_bytes for op in projections) * in_flight // heads


def _fixed_need(machine: Machine, operations: Sequence[Operation]) -> int:
    """Compute the bytes that row blocks cannot reduce: the q, k and v that one row group attends to."""
    windows = next((op.instances // op.heads for op in operations if op.kind == "scores"), 1)
    return folds(_heads_in_flight_bytes(machine, operations), windows)


def _projections(operations: Sequence[Operation]) -> list[Operation]:
    """Return the layers directly before the scores: the projections q, k and v, and their rotary positions."""
    at = next((i for i, op in enumerate(operations) if op.kind == "scores"), 0)
    start = at
    while start and operations[start - 1].kind in PROJECTING:
        start -= 1
    return list(operations[start:at])


def _activation_misfit(operations: Sequence[Operation], need: int, capacity: int, machine: Machine) -> Misfit:
    levers = [f"buffers.activation.size_bytes of at least {need}"]
    if not machine.pipelining.inter_layer:
        levers.append("pipelining.inter_layer: true (q, k and v of two heads instead of all)")
    return Misfit(
        f"one row of {operations[0].name} and what it attends to do not fit the activation buffer",
        operations[0].name, need, capacity, "bytes", tuple(levers),
    )  # fmt: skip
