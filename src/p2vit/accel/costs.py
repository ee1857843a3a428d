"""What one operation asks of the machine: cycles per chunk, bytes per memory, before anything overlaps.

The row-stationary mapping is here. The dataflow (what overlaps) and the two timing models read these figures.
"""

from dataclasses import dataclass

from p2vit.accel.gemm import folds
from p2vit.accel.machine import Machine
from p2vit.accel.workload import Operation

MAC, SHIFTER, LAYERNORM, SOFTMAX = "mac_array", "shifter_array", "layernorm", "softmax"
REQUANT, GELU, ELEMENTWISE, DRAM = "requantization", "gelu", "elementwise", "dram"
ACTIVATION_BUFFER = "activation_buffer"
CHUNKS = (MAC, SHIFTER, LAYERNORM, SOFTMAX, GELU, ELEMENTWISE)
RESOURCES = (*CHUNKS, REQUANT, ACTIVATION_BUFFER, DRAM)

_SIDE = {"layernorm": LAYERNORM, "softmax": SOFTMAX, "lookup": GELU}


@dataclass(frozen=True)
class Cost:
    """Demands of one operation (all instances), or of an even share of it.

    Attributes:
        chunk: Where it runs.
        busy_cycles: Cycles the chunk works, without waiting for anything.
        starved_cycles: Further cycles an array waits for its own weight buffer's port.
        exposed_requant_cycles: Further cycles an array waits for re-quantization where that is not hidden.
        requant_cycles: Cycles of the re-quantization lanes.
        activation_bytes: Bytes read from and written to the activation buffer.
        weight_read_bytes: Bytes read from the weight buffer.
        accumulator_bytes: Bytes through the accumulator buffer (scores out, scores in).
        groups: Row groups, over all instances.
        macs: Multiply- or shift-accumulates.
        depth_cycles: Latency from the last operand to the result, re-quantization included.
    """

    chunk: str
    busy_cycles: int
    starved_cycles: int
    exposed_requant_cycles: int
    requant_cycles: int
    activation_bytes: int
    weight_read_bytes: int
    accumulator_bytes: int
    groups: int
    macs: int
    depth_cycles: int

    @property
    def occupied_cycles(self) -> int:
        """Cycles the chunk is taken, its own waits included."""
        return self.busy_cycles + self.starved_cycles + self.exposed_requant_cycles


def chunk_of(machine: Machine, kind: str, log2_codes: bool) -> str:
    """Chunk that runs an operation; log2 codes go to the shifters, 8-bit codes to the MACs."""
    if kind == "attention_values":
        return SHIFTER if log2_codes and machine.organisation != "single_engine" else MAC
    if kind in ("linear", "scores"):
        return MAC
    return _SIDE.get(kind, ELEMENTWISE)


def columns_per_step(machine: Machine, operation: Operation) -> int:
    """Output columns that pass the MAC array together: 2 with narrow weights on an array that splits."""
    return machine.chunks.mac_array.narrow_weight_rate if 0 < operation.weight_bits <= 4 else 1


def cost_of(machine: Machine, operation: Operation, passes: int = 1) -> Cost:
    """Demands of a whole operation.

    Args:
        machine: The machine.
        operation: Any operation.
        passes: Weight tiles; the stationary rows are loaded once for each.

    Returns:
        Its cost. Cycles of matrix products are exact for the row-stationary mapping: groups × columns ×
        steps.
    """
    if operation.inner:
        return _matmul(machine, operation, passes)
    if operation.kind in ("layernorm", "softmax"):
        return _row_wise(machine, operation)
    return _streamed(machine, operation)


def _matmul(machine: Machine, op: Operation, passes: int) -> Cost:
    chunk = chunk_of(machine, op.kind, op.log2_codes)
    array = machine.chunks.shifter_array if chunk == SHIFTER else machine.chunks.mac_array
    requant = machine.chunks.requantization
    wide = columns_per_step(machine, op)
    groups = op.instances * folds(op.rows, array.lines)
    column_steps = groups * folds(op.cols, wide)
    step = folds(op.inner, array.lanes_per_line)
    weight_bytes_per_step = op.inner * op.weight_bits * wide // 8
    starved = (
        max(0, folds(weight_bytes_per_step, machine.buffers.weight.bytes_per_cycle) - step)
        if op.weight_bits
        else 0
    )
    exposed, requant_cycles, depth = 0, 0, array.pipeline_depth_cycles
    if op.requantized:
        # A small queue in front of the lanes evens out that all lines finish a column together.
        interval = requant.initiation_interval_cycles
        requant_cycles = folds(op.elements * interval, requant.lanes)
        depth += requant.pipeline_depth_cycles
        if not machine.pipelining.intra_layer:
            # Unhidden, every column is waited for: until its last accumulator went in, and then came out.
            after = max(0, requant.pipeline_depth_cycles - interval)
            exposed = max(requant_cycles, column_steps * interval) + column_steps * after
    # Rows that stand still are loaded once per weight tile; the operand that streams past them once per
    # group.
    stationary = passes * op.instances * op.rows * op.inner * _stationary_bits(op) // 8
    streamed = 0 if op.weight_bits else groups * op.cols * op.inner * op.input_bits // 8
    written = 0 if op.kind == "scores" else op.output_bytes
    return Cost(
        chunk,
        column_steps * step,
        column_steps * starved,
        exposed,
        requant_cycles,
        stationary + streamed + written,
        column_steps * weight_bytes_per_step,
        op.output_bytes if op.kind == "scores" else 0,
        # Rows flow in the MAC array's rhythm, whatever the shifters' own groups are.
        op.instances * folds(op.rows, machine.chunks.mac_array.lines),
        op.macs,
        depth,
    )


def _stationary_bits(op: Operation) -> int:
    return 4 if op.kind == "attention_values" and op.log2_codes else 8


def _row_wise(machine: Machine, op: Operation) -> Cost:
    chunk = chunk_of(machine, op.kind, op.log2_codes)
    unit = machine.chunks.softmax if chunk == SOFTMAX else machine.chunks.layernorm
    rows = op.instances * op.rows
    from_scores = op.kind == "softmax"
    read = rows * op.cols * op.input_bits // 8 * unit.passes
    return Cost(
        chunk,
        rows * folds(op.cols, unit.lanes) * unit.passes,
        0,
        0,
        0,
        op.output_bytes + (0 if from_scores else read),
        0,
        read if from_scores else 0,
        op.instances * folds(op.rows, machine.chunks.mac_array.lines),
        0,
        unit.pipeline_depth_cycles,
    )


def _streamed(machine: Machine, op: Operation) -> Cost:
    chunk = chunk_of(machine, op.kind, op.log2_codes)
    unit = machine.chunks.gelu if chunk == GELU else machine.chunks.elementwise
    operands = 2 if op.kind in ("add", "tokens") else 1
    on_scores = op.kind == "score_bias"
    traffic = op.elements * op.input_bits * operands // 8 + op.output_bytes
    return Cost(
        chunk,
        folds(op.elements, unit.lanes),
        0,
        0,
        0,
        0 if on_scores else traffic,
        0,
        traffic if on_scores else 0,
        op.instances * folds(op.rows, machine.chunks.mac_array.lines),
        0,
        unit.pipeline_depth_cycles,
    )
