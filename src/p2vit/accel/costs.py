"""What one operation asks of the machine: cycles per chunk, bytes per memory, before anything overlaps.

The row-stationary mapping is here. The dataflow (what overlaps) and the two timing models read these figures.
How many lines an operation uses is the mapping's choice. It may be an array of choices that are compared with each
other; the figures that depend on it are arrays then.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from p2vit.accel.gemm import folds
from p2vit.accel.machine import MacArray, Machine, ShifterArray
from p2vit.accel.workload import Operation

MAC, SHIFTER, LAYERNORM, SOFTMAX = "mac_array", "shifter_array", "layernorm", "softmax"
REQUANT, GELU, ELEMENTWISE, DRAM = "requantization", "gelu", "elementwise", "dram"
ACTIVATION_BUFFER = "activation_buffer"
CHUNKS = (MAC, SHIFTER, LAYERNORM, SOFTMAX, GELU, ELEMENTWISE)
RESOURCES = (*CHUNKS, REQUANT, ACTIVATION_BUFFER, DRAM)

#: An int; an array where several numbers of lines are compared.
Number = Any

_SIDE = {"layernorm": LAYERNORM, "softmax": SOFTMAX, "lookup": GELU}


@dataclass(frozen=True)
class Cost:
    """Demands of one operation (all instances), or of an even share of it.

    Attributes:
        chunk: Where it runs.
        groups: Row groups, over all instances.
        lines: Lines of the MAC array that a row group has.
        busy_cycles: Cycles the chunk works, without waiting for anything.
        starved_cycles: Further cycles an array waits for its own weight buffer's port.
        exposed_requant_cycles: Further cycles an array waits for re-quantization where that is not hidden.
        requant_cycles: Cycles of the re-quantization lanes.
        activation_bytes: Bytes read from and written to the activation buffer.
        weight_read_bytes: Bytes read from the weight buffer.
        accumulator_bytes: Bytes through the accumulator buffer (scores out, scores in).
        row_read_bytes: Bytes of standing rows that the lines read out.
        row_written_bytes: Bytes of standing rows that are put into the lines.
        macs: Multiply- or shift-accumulates.
        depth_cycles: Latency from the last operand to the result, re-quantization included.
    """

    chunk: str
    groups: Number
    lines: Number
    busy_cycles: Number
    depth_cycles: int
    starved_cycles: Number = 0
    exposed_requant_cycles: Number = 0
    requant_cycles: int = 0
    activation_bytes: Number = 0
    weight_read_bytes: Number = 0
    accumulator_bytes: int = 0
    row_read_bytes: int = 0
    row_written_bytes: int = 0
    macs: int = 0

    @property
    def occupied_cycles(self) -> Number:
        """Cycles the chunk is taken, its own waits included."""
        return self.busy_cycles + self.starved_cycles + self.exposed_requant_cycles


def chunk_of(machine: Machine, kind: str, log2_codes: bool) -> str:
    """Chunk that runs an operation; log2 codes go to the shifters, 8-bit codes to the MACs."""
    if kind == "attention_values":
        return SHIFTER if log2_codes and machine.shifters else MAC
    if kind in ("linear", "scores"):
        return MAC
    return _SIDE.get(kind, ELEMENTWISE)


def starved_by(kind: str) -> str:
    """Why an array waits for a port of its own: that of its weights, or of the scores that it writes."""
    return f"{'score' if kind == 'scores' else 'weight'} buffer: too few bytes per cycle"


def array_of(machine: Machine, chunk: str) -> MacArray | ShifterArray:
    """The array that a matrix product runs on."""
    return machine.shifters if chunk == SHIFTER and machine.shifters else machine.chunks.mac_array


def columns_per_step(machine: Machine, operation: Operation) -> int:
    """Output columns that pass the MAC array together: 2 with narrow weights on an array that splits."""
    return machine.chunks.mac_array.narrow_weight_rate if 0 < operation.weight_bits <= 4 else 1


def cost_of(machine: Machine, operation: Operation, passes: int = 1, lines: Number = None) -> Cost:
    """Demands of a whole operation.

    Args:
        machine: The machine.
        operation: Any operation.
        passes: Weight tiles; the stationary rows are loaded once for each.
        lines: Lines of the MAC array that a row group has; default all.

    Returns:
        Its cost. Cycles of matrix products are exact for the row-stationary mapping: groups × columns ×
        steps.
    """
    lines = machine.chunks.mac_array.lines if lines is None else lines
    if operation.inner:
        return _matmul(machine, operation, passes, lines)
    if operation.kind in ("layernorm", "softmax"):
        return _row_wise(machine, operation, lines)
    return _streamed(machine, operation, lines)


def _matmul(machine: Machine, op: Operation, passes: int, lines: Number) -> Cost:
    chunk = chunk_of(machine, op.kind, op.log2_codes)
    # Rows flow in the MAC array's rhythm, whatever the shifters' own groups are.
    groups = op.instances * folds(op.rows, lines)
    array = array_of(machine, chunk)
    of_array = op.instances * folds(op.rows, array.lines) if chunk == SHIFTER else groups
    wide = columns_per_step(machine, op)
    column_steps = of_array * folds(op.cols, wide)
    step = folds(op.inner, array.lanes_per_line)
    weight_bytes_per_step = op.inner * op.weight_bits * wide // 8
    starved: Number = 0
    if op.weight_bits:
        starved = max(0, folds(weight_bytes_per_step, machine.buffers.weight.bytes_per_cycle) - step)
    if op.kind == "scores":  # every line writes one
        port = machine.buffers.accumulator.bytes_per_cycle
        starved = _above_zero(folds(lines * op.output_bits // 8, port) - step)
    exposed, requant_cycles, depth = _requantized(machine, op, column_steps)
    # Rows that stand still are loaded once per weight tile; the operand that streams past them once per
    # group.
    stationary = passes * op.instances * op.rows * stationary_bytes(op)
    stationary_rows = passes * op.instances * op.rows
    streamed = 0 if op.weight_bits else of_array * op.cols * op.inner * op.input_bits // 8
    written = 0 if op.kind == "scores" else op.output_bytes
    return Cost(
        chunk,
        groups,
        lines,
        column_steps * step,
        array.pipeline_depth_cycles + depth,
        starved_cycles=column_steps * starved,
        exposed_requant_cycles=exposed,
        requant_cycles=requant_cycles,
        activation_bytes=stationary + streamed + written,
        weight_read_bytes=column_steps * weight_bytes_per_step,
        accumulator_bytes=op.output_bytes if op.kind == "scores" else 0,
        # A row longer than the lanes is read out once per column; a shorter one stays in the lanes' registers.
        row_read_bytes=(op.instances * op.rows * folds(op.cols, wide) if step > 1 else stationary_rows)
        * stationary_bytes(op),
        row_written_bytes=stationary,
        macs=op.macs,
    )


def _above_zero(cycles: Number) -> Number:
    return np.maximum(0, cycles) if isinstance(cycles, np.ndarray) else max(0, cycles)


def _requantized(machine: Machine, op: Operation, column_steps: Number) -> tuple[Number, int, int]:
    """Cycles that are not hidden, cycles of the lanes, and depth, of re-quantizing an operation's accumulators."""
    requant = machine.chunks.requantization
    if not op.requantized:
        return 0, 0, 0
    # A small queue in front of the lanes evens out that all lines finish a column together.
    interval = requant.initiation_interval_cycles
    cycles = folds(op.elements * interval, requant.lanes)
    if machine.pipelining.intra_layer:
        return 0, cycles, requant.pipeline_depth_cycles
    # Unhidden, every column is waited for: until its last accumulator went in, and then came out.
    after = max(0, requant.pipeline_depth_cycles - interval)
    columns = column_steps * interval
    longest = np.maximum(cycles, columns) if isinstance(columns, np.ndarray) else max(cycles, columns)
    return longest + column_steps * after, cycles, requant.pipeline_depth_cycles


def stationary_bytes(op: Operation) -> int:
    """Bytes of one row that stands still in a line; codes that are exponents have 4 bits. 0 without a product."""
    return folds(op.inner * (4 if op.kind == "attention_values" and op.log2_codes else 8), 8)


def _row_wise(machine: Machine, op: Operation, lines: Number) -> Cost:
    chunk = chunk_of(machine, op.kind, op.log2_codes)
    unit = machine.chunks.softmax if chunk == SOFTMAX else machine.chunks.layernorm
    rows = op.instances * op.rows
    from_scores = op.kind == "softmax"
    read = rows * op.cols * op.input_bits // 8 * unit.passes
    port = folds(read, machine.buffers.accumulator.bytes_per_cycle) if from_scores else 0
    return Cost(
        chunk,
        op.instances * folds(op.rows, lines),
        lines,
        max(rows * folds(op.cols, unit.lanes) * unit.passes, port),
        unit.pipeline_depth_cycles,
        activation_bytes=op.output_bytes + (0 if from_scores else read),
        accumulator_bytes=read if from_scores else 0,
    )


def _streamed(machine: Machine, op: Operation, lines: Number) -> Cost:
    chunk = chunk_of(machine, op.kind, op.log2_codes)
    unit = machine.chunks.gelu if chunk == GELU else machine.chunks.elementwise
    operands = 2 if op.kind in ("add", "multiply", "tokens") else 1
    on_scores = op.kind == "score_bias"
    traffic = op.elements * op.input_bits * operands // 8 + op.output_bytes
    port = folds(traffic, machine.buffers.accumulator.bytes_per_cycle) if on_scores else 0
    return Cost(
        chunk,
        op.instances * folds(op.rows, lines),
        lines,
        max(folds(op.elements, unit.lanes), port),
        unit.pipeline_depth_cycles,
        activation_bytes=0 if on_scores else traffic,
        accumulator_bytes=traffic if on_scores else 0,
    )
