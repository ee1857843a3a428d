"""Describes an RTL machine for the accelerator model: sizes, pipeline depths and engines.

The shipped descriptions of the accelerators that can be generated are made from here (``python
scripts/rtl_descriptions.py``), and so are the descriptions of changed machines and the schedule of the compiler.
"""

from functools import lru_cache
from typing import Any

from p2vit.accel.load_store.fit import ARRAY_OUT_BYTES, VECTOR_IN_BYTES, VECTOR_OUT_BYTES, buffer_bytes
from p2vit.accel.load_store.formats import SUM_BYTES
from p2vit.accel.machine.description import LoadStore, Machine
from p2vit.hdl.top.machine import (
    ARRAY_DRAIN,
    DIVIDE_CYCLES,
    IN_FLIGHT,
    MEMORY_LATENCY,
    NORM_TABLE_ENTRIES,
    QUEUE_DEPTH,
    SHIFT_STEPS,
    SLOTS,
    TOTAL_STEPS,
    VECTOR_DRAIN,
    RtlMachine,
)

_KIB = 1024
_KNOWN = (
    "{lines} x {lanes} MACs, one lane per line in the vector engine, a memory word of {lines} bytes per cycle and "
    "direction: the RTL's own sizes",
    "LayerNorm takes each element three times, softmax twice; depths are the cycles of a run in which nothing goes in: "
    "drains, and LayerNorm's scalar steps",
    "load, array, vector and store engines in order, two slots per buffer; tensors pass through the external memory "
    "between operations, scores too",
)
_ASSUMED = (
    "LayerNorm, softmax, GELU and elementwise chunks are one vector engine in the RTL, the shifters stand beside the "
    "multipliers: areas, which are per chunk, count them apart",
    "buffers: the RTL's row ({row:g} KiB), vector input ({vector_in:g}) and output ({array_out:g} and {vector_out:g}) "
    "buffers stand as activation buffer, its vector input buffer as score buffer too",
    "{clock:g} MHz and LPDDR4 at {bandwidth:g} GB/s per direction: one word per cycle; nothing was placed or routed",
)


@lru_cache(maxsize=256)
def description_of(machine: RtlMachine, name: str, clock_mhz: float = 500.0) -> Machine:
    """Make the machine description of an RTL machine.

    Args:
        machine: Sizes of the RTL machine.
        name: Name of the description.
        clock_mhz: Clock of the description. It is assumed, not a result of place and route.

    Returns:
        Load–store machine for which `p2vit.accel` gives the same cycles as `p2vit.hdl.timing`.
    """
    return Machine.model_validate(_described(machine, name, clock_mhz))


def description_text(machine: RtlMachine, name: str) -> str:
    """Make the text of the shipped description of an RTL machine, in YAML."""
    lines = [
        f'# Made from p2vit.hdl.top.machine.MACHINES["{name}"] by scripts/rtl_descriptions.py; do not edit.'
    ]
    for key, value in _described(machine, name, 500.0).items():
        if isinstance(value, list):
            lines += [f"{key}:", *(f'  - "{text}"' for text in value)]
        elif key in ("chunks", "buffers"):
            lines += [f"{key}:", *(f"  {part}: {_plain(sizes)}" for part, sizes in value.items())]
        else:
            lines.append(f"{key}: {_plain(value)}")
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> str:
    """Format a value of a description in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_plain(each)}" for key, each in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _described(machine: RtlMachine, name: str, clock_mhz: float) -> dict[str, Any]:
    """Make the keys and values of a description."""
    lines, lanes = machine.lines, machine.lanes
    # Columns of 4-bit weights per step, each with re-quantizers of its own.
    at_once = 2 if machine.split else 1
    stream = {"lanes": lines, "pipeline_depth_cycles": VECTOR_DRAIN}
    # Cycles of a LayerNorm run without input: the drain of three passes, and the scalar steps between them.
    # The factors come row by row and are counted apart.
    norm_depth = 3 * VECTOR_DRAIN + SHIFT_STEPS + TOTAL_STEPS + 1
    array = {"lines": lines, "lanes_per_line": lanes, "pipeline_depth_cycles": ARRAY_DRAIN}
    options = {
        "slots": SLOTS,
        "row_terms": machine.longest_row,
        "columns_per_run": machine.columns,
        "vector_columns": machine.vector_columns,
        "tables": machine.table_groups,
        "shifters": machine.shifters,
        "reciprocal_cycles": DIVIDE_CYCLES + 1,
        "norm_table_words": NORM_TABLE_ENTRIES,
        "norm_row_cycles": 1,
        "queue_depth": QUEUE_DEPTH,
        "loads_in_flight": IN_FLIGHT,
    }
    vector_in = SLOTS * machine.vector_columns * lines * VECTOR_IN_BYTES
    bandwidth = lines * clock_mhz / 1e3
    figures = {
        "lines": lines,
        "lanes": lanes,
        "row": SLOTS * lines * machine.longest_row / _KIB,
        "vector_in": vector_in / _KIB,
        "array_out": SLOTS * lines * machine.columns * ARRAY_OUT_BYTES / _KIB,
        "vector_out": SLOTS * lines * machine.vector_columns * VECTOR_OUT_BYTES / _KIB,
        "clock": clock_mhz,
        "bandwidth": bandwidth,
    }

    def buffer(size: int) -> dict[str, int]:
        # Every line has a bank of its own, in at most 16 macros; their ports never limit the throughput.
        return {"size_bytes": max(8, size), "banks": min(lines, 16), "bytes_per_port_per_cycle": 64}

    return {
        "format": 1,
        "name": name,
        "summary": f"The generated accelerator of {lines} lines x {lanes} lanes",
        "known": [text.format(**figures) for text in _KNOWN],
        "assumed": [text.format(**figures) for text in _ASSUMED],
        "organisation": "load_store",
        "clock_mhz": clock_mhz,
        "technology": "cacti28",
        "chunks": {
            "mac_array": {**array, "narrow_weight_rate": at_once},
            "shifter_array": array,
            "layernorm": {"lanes": lines, "passes": 3, "pipeline_depth_cycles": norm_depth},
            "softmax": {"lanes": lines, "passes": 2, "pipeline_depth_cycles": 2 * VECTOR_DRAIN + SUM_BYTES},
            "requantization": {
                "method": "shift",
                "lanes": lines * at_once,
                "initiation_interval_cycles": 1,
                "pipeline_depth_cycles": 3,
            },
            "gelu": stream,
            "elementwise": stream,
        },
        "buffers": {
            "activation": buffer(buffer_bytes(lines, LoadStore.model_validate(options))),
            "weight": buffer(SLOTS * machine.weight_rows * lines * lanes),
            "accumulator": buffer(vector_in),
        },
        "dram": {
            "kind": "lpddr4",
            "bandwidth_gbytes_per_s": bandwidth,
            "latency_ns": MEMORY_LATENCY / clock_mhz * 1e3,
        },
        "load_store": options,
        "pipelining": {"inter_layer": True, "intra_layer": True},
    }
