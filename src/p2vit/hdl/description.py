"""Describes an RTL machine for the chunk model: sizes, pipeline depths and engines."""

from typing import Any

from p2vit.accel.load_store.fit import buffer_bytes
from p2vit.accel.machine.description import Machine
from p2vit.errors import P2vitError
from p2vit.hdl.top.machine import (
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

#: Bytes per number in the vector engine's input buffer, which is described as the score buffer.
SCORE_BYTES = 4


def description_of(machine: RtlMachine, name: str, clock_mhz: float = 500.0) -> Machine:
    """Make the machine description of an RTL machine.

    Args:
        machine: Sizes of the RTL machine.
        name: Name of the description.
        clock_mhz: Clock of the description. It is assumed, not a result of place and route.

    Returns:
        Load–store machine for which `p2vit.accel` gives the same cycles as `p2vit.hdl.timing`.

    Raises:
        P2vitError: The multipliers of the machine split, which the chunk model of load–store machines does not cover.
    """
    if machine.split:
        raise P2vitError(
            f"{name}: split multipliers have no description for the chunk model; set split=0, or predict the cycles "
            "of a program with 'p2vit cosim --predict'"
        )
    lines, lanes = machine.lines, machine.lanes
    stream = {"lanes": lines, "pipeline_depth_cycles": VECTOR_DRAIN}
    # Cycles of a LayerNorm run without input: the drain of three passes, and the scalar steps between them.
    norm_depth = 3 * VECTOR_DRAIN + SHIFT_STEPS + TOTAL_STEPS + lines + 1
    array = {"lines": lines, "lanes_per_line": lanes, "pipeline_depth_cycles": ARRAY_DRAIN}

    def buffer(size: int) -> dict[str, int]:
        # Every line has a bank of its own, in at most 16 macros; their ports never limit the throughput.
        return {"size_bytes": max(1024, size), "banks": min(lines, 16), "bytes_per_port_per_cycle": 64}

    described: dict[str, Any] = {
        "name": name,
        "summary": f"The generated accelerator of {lines} lines x {lanes} lanes",
        "organisation": "load_store",
        "clock_mhz": clock_mhz,
        "technology": "cacti28",
        "chunks": {
            "mac_array": {**array, "narrow_weight_rate": 1},
            "shifter_array": array,
            "layernorm": {"lanes": lines, "passes": 3, "pipeline_depth_cycles": norm_depth},
            "softmax": {"lanes": lines, "passes": 2, "pipeline_depth_cycles": 2 * VECTOR_DRAIN + SUM_BYTES},
            "requantization": {"method": "shift", "lanes": lines, "pipeline_depth_cycles": 3},
            "gelu": stream,
            "elementwise": stream,
        },
        "buffers": {
            "activation": buffer(0),
            "weight": buffer(SLOTS * machine.weight_rows * lines * lanes),
            "accumulator": buffer(SLOTS * machine.vector_columns * lines * SCORE_BYTES),
        },
        "dram": {
            "kind": "lpddr4",
            "bandwidth_gbytes_per_s": lines * clock_mhz / 1e3,
            "latency_ns": MEMORY_LATENCY / clock_mhz * 1e3,
        },
        "load_store": {
            "slots": SLOTS,
            "row_terms": machine.longest_row,
            "columns_per_run": machine.columns,
            "vector_columns": machine.vector_columns,
            "tables": machine.table_groups,
            "shifters": machine.shifters,
            "reciprocal_cycles": DIVIDE_CYCLES + 1,
            "norm_table_words": NORM_TABLE_ENTRIES,
            "queue_depth": QUEUE_DEPTH,
            "loads_in_flight": IN_FLIGHT,
        },
    }
    small = Machine.model_validate(described)
    assert small.load_store is not None
    described["buffers"]["activation"] = buffer(buffer_bytes(small, small.load_store))
    return Machine.model_validate(described)
