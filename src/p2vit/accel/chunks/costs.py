"""Demands of one operation on the machine: cycles per chunk and bytes per memory, before anything overlaps.

The row-stationary mapping is defined here. The dataflow (what overlaps) and the timing models read these figures. The
mapping chooses how many lines an operation uses. To compare several choices at once, pass an array of line counts; the
figures that depend on the number of lines are then arrays too.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from p2vit.accel.chunks.gemm import folds
from p2vit.accel.machine.description import MacArray, Machine, ShifterArray
from p2vit.accel.workload.operations import Operation

MAC, SHIFTER, LAYERNORM, SOFTMAX = "mac_array", "shifter_array", "layernorm", "softmax"
REQUANT, GELU, ELEMENTWISE, DRAM = "requantization", "gelu", "elementwise", "dram"
ACTIVATION_BUFFER = "activation_buffer"
CHUNKS = (MAC, SHIFTER, LAYERNORM, SOFTMAX, GELU, ELEMENTWISE)
RESOURCES = (*CHUNKS, REQUANT, ACTIVATION_BUFFER, DRAM)

#: An int, or an array if several line counts are compared at once.
Number = Any

_SIDE = {"layernorm": LAYERNORM, "softmax": SOFTMAX, "lookup": GELU}


@dataclass(frozen=True)
class Cost:
    """Demands of one operation, over all its instances.

    Attributes:
        chunk: Chunk that runs the operation.
        groups: Number of row groups, over all instances.
        lines: Lines of the MAC array that one row group uses.
        busy_cycles: Cycles that the chunk works, without any wait.
        starved_cycles: Further cycles that the array waits for the port of its own weight buffer or score buffer.
        exposed_requant_cycles: Further cycles that the array waits for re-quantization that is not hidden.
        requant_cycles: Cycles of the re-quantization lanes.
        activation_bytes: Bytes read from and written to the activation buffer.
        weight_read_bytes: Bytes read from the weight buffer.
        accumulator_bytes: Bytes of scores written to and read from the accumulator buffer.
        row_read_bytes: Bytes of stationary rows read from the row buffer.
        row_written_bytes: Bytes of stationary rows written to the row buffer.
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
        """Cycles that the operation occupies the chunk, with the array's own waits."""
        return self.busy_cycles + self.starved_cycles + self.exposed_requant_cycles


def chunk_of(machine: Machine, kind: str, log2_codes: bool) -> str:
    """Return the chunk that runs an operation. Log2 codes go to the shifter array, 8-bit codes to the MAC array."""
    if kind == "attention_values":
        return SHIFTER if log2_codes and machine.shifters else MAC
    if kind in ("linear", "scores"):
        return MAC
    return _SIDE.get(kind, ELEMENTWISE)


def starvation_reason(kind: str) -> str:
    """Return the stall reason of an array that waits for its weight port or its score port."""
    return f"{'score' if kind == 'scores' else 'weight'} buffer: too few bytes per cycle"


def array_of(machine: Machine, chunk: str) -> MacArray | ShifterArray:
    """Return the description of the array that runs a matrix product."""
    return machine.shifters if chunk == SHIFTER and machine.shifters else machine.chunks.mac_array


def columns_per_step(machine: Machine, operation: Operation) -> int:
    """Return the output columns per step of the MAC array: 2 for 4-bit weights if its multipliers split, else 1."""
    return machine.chunks.mac_array.narrow_weight_rate if 0 < operation.weight_bits <= 4 else 1


def cost_of(machine: Machine, operation: Operation, passes: int = 1, lines: Number = None) -> Cost:
    """Compute the demands of a whole operation.

    Args:
        machine: Machine that runs the operation.
        operation: Any operation.
        passes: Number of weight tiles; the stationary rows are loaded once per tile.
        lines: Lines of the MAC array that one row group uses; None uses all.

    Returns:
        Cost of the operation. The cycles of a matrix product are exact: row groups × columns × ⌈inner / lanes⌉.
    """
    lines = machine.chunks.mac_array.lines if lines is None else lines
    if operation.inner:
        return _matmul(machine, operation, passes, lines)
    if operation.kind in ("layernorm", "softmax"):
        return _row_wise(machine, operation, lines)
    return _streamed(machine, operation, lines)


def _matmul(machine: Machine, op: Operation, passes: int, lines: Number) -> Cost:
    chunk = chunk_of(machine, op.kind, op.log2_codes)
    # Rows flow in groups of the MAC array's size, even if the shifter array has another number of lines.
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
    if op.kind == "scores":  # every line writes one score per column
        port = machine.buffers.accumulator.bytes_per_cycle
        starved = _above_zero(folds(lines * op.output_bits // 8, port) - step)
    exposed, requant_cycles, depth = _requantized(machine, op, column_steps)
    # Stationary rows are loaded once per weight tile, the streamed operand once per row group.
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
        # A row longer than the lanes is read from the row buffer once per column; a shorter one stays in registers.
        row_read_bytes=(op.instances * op.rows * folds(op.cols, wide) if step > 1 else stationary_rows)
        * stationary_bytes(op),
        row_written_bytes=stationary,
        macs=op.macs,
    )


def _above_zero(cycles: Number) -> Number:
    return np.maximum(0, cycles) if isinstance(cycles, np.ndarray) else max(0, cycles)


def _requantized(machine: Machine, op: Operation, column_steps: Number) -> tuple[Number, int, int]:
    """Compute the exposed cycles, the lanes' cycles and the pipeline depth of re-quantizing the accumulators."""
    requant = machine.chunks.requantization
    if not op.requantized:
        return 0, 0, 0
    # All lines finish a column in the same cycle; a small queue in front of the lanes absorbs the burst.
    interval = requant.initiation_interval_cycles
    cycles = folds(op.elements * interval, requant.lanes)
    if machine.pipelining.intra_layer:
        return 0, cycles, requant.pipeline_depth_cycles
    # If re-quantization is not hidden, the array waits until the last accumulator of a column leaves the lanes.
    after = max(0, requant.pipeline_depth_cycles - interval)
    columns = column_steps * interval
    longest = np.maximum(cycles, columns) if isinstance(columns, np.ndarray) else max(cycles, columns)
    return longest + column_steps * after, cycles, requant.pipeline_depth_cycles


def stationary_bytes(op: Operation) -> int:
    """Return the bytes of one stationary row: 4 bits per log2 code, else 8 bits per term; 0 without a product."""
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
