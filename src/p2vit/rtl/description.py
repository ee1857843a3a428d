"""An RTL machine as a description for the chunk model: its sizes, depths and engines."""

from p2vit.accel.load_store.fit import buffer_bytes
from p2vit.accel.machine import (
    Buffer,
    Buffers,
    Chunks,
    Dram,
    LoadStore,
    MacArray,
    Machine,
    Requantization,
    RowChunk,
    ShifterArray,
    StreamChunk,
)
from p2vit.rtl.top.machine import (
    ARRAY_DRAIN,
    DIVIDE_CYCLES,
    IN_FLIGHT,
    MEMORY_LATENCY,
    NORM_TABLE_ENTRIES,
    QUEUE_DEPTH,
    SHIFT_STEPS,
    SLOTS,
    SUM_BYTES,
    TOTAL_STEPS,
    VECTOR_DRAIN,
    RtlMachine,
)

#: Bytes of a number in the vector engine's input buffer, which stands as score buffer too.
_SCORE_BYTES = 4


def description_of(machine: RtlMachine, name: str, clock_mhz: float = 500) -> Machine:
    """Describe an RTL machine.

    Args:
        machine: Its sizes.
        name: What the description is called.
        clock_mhz: Of the description; nothing was placed or routed.

    Returns:
        A load–store machine on which `p2vit.accel` counts the cycles that `p2vit.rtl.timing` counts.
    """
    lines, lanes = machine.lines, machine.lanes
    word_per_cycle = lines * clock_mhz / 1e3
    options = LoadStore(
        slots=SLOTS,
        row_terms=machine.longest_row,
        columns_per_run=machine.columns,
        vector_columns=machine.vector_columns,
        tables=machine.table_groups,
        shifters=machine.shifters,
        reciprocal_cycles=DIVIDE_CYCLES + 1,
        norm_table_words=NORM_TABLE_ENTRIES,
        queue_depth=QUEUE_DEPTH,
        loads_in_flight=IN_FLIGHT,
    )

    def buffer(size: int) -> Buffer:
        # Every line has a bank of its own, which is never what limits.
        return Buffer(size_bytes=size, banks=min(lines, 16), bytes_per_port_per_cycle=64)

    weights = SLOTS * machine.weight_rows * lines * lanes
    scores = SLOTS * machine.vector_columns * lines * _SCORE_BYTES
    described = Machine(
        name=name,
        summary=f"The generated accelerator of {lines} lines x {lanes} lanes",
        organisation="load_store",
        clock_mhz=clock_mhz,
        technology="cacti28",
        chunks=Chunks(
            mac_array=MacArray(
                lines=lines, lanes_per_line=lanes, pipeline_depth_cycles=ARRAY_DRAIN, narrow_weight_rate=1
            ),
            shifter_array=ShifterArray(lines=lines, lanes_per_line=lanes, pipeline_depth_cycles=ARRAY_DRAIN),
            layernorm=RowChunk(
                lanes=lines,
                passes=3,
                pipeline_depth_cycles=3 * VECTOR_DRAIN + SHIFT_STEPS + TOTAL_STEPS + lines + 1,
            ),
            softmax=RowChunk(lanes=lines, passes=2, pipeline_depth_cycles=2 * VECTOR_DRAIN + SUM_BYTES),
            requantization=Requantization(
                method="shift", lanes=lines, initiation_interval_cycles=1, pipeline_depth_cycles=3
            ),
            gelu=StreamChunk(lanes=lines, pipeline_depth_cycles=VECTOR_DRAIN),
            elementwise=StreamChunk(lanes=lines, pipeline_depth_cycles=VECTOR_DRAIN),
        ),
        buffers=Buffers(
            activation=buffer(1024), weight=buffer(weights), accumulator=buffer(max(1024, scores))
        ),
        dram=Dram(
            kind="lpddr4",
            bandwidth_gbytes_per_s=word_per_cycle,
            latency_ns=MEMORY_LATENCY / clock_mhz * 1e3,
        ),
        load_store=options,
    )
    sized = described.buffers.model_copy(update={"activation": buffer(buffer_bytes(described, options))})
    return described.model_copy(update={"buffers": sized})
