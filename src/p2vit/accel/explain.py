"""Why a run takes as long as it takes: roofline, limiting resource, and what doubling each part would
gain.
"""

from dataclasses import dataclass

from p2vit.accel.edit import edit_machine, value_at
from p2vit.accel.machine import Machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.simulate import Run
from p2vit.accel.workload import Workload

# What an architect can make larger, and by which path of the description. All of them are tried at twice the
# size.
LEVERS = {
    "MAC lines": "chunks.mac_array.lines",
    "MAC lanes per line": "chunks.mac_array.lanes_per_line",
    "shifter lanes per line": "chunks.shifter_array.lanes_per_line",
    "LayerNorm lanes": "chunks.layernorm.lanes",
    "softmax lanes": "chunks.softmax.lanes",
    "re-quantization lanes": "chunks.requantization.lanes",
    "GELU lanes": "chunks.gelu.lanes",
    "elementwise lanes": "chunks.elementwise.lanes",
    "activation-buffer port width": "buffers.activation.bytes_per_port_per_cycle",
    "weight-buffer port width": "buffers.weight.bytes_per_port_per_cycle",
    "activation-buffer size": "buffers.activation.size_bytes",
    "weight-buffer size": "buffers.weight.size_bytes",
    "accumulator-buffer size": "buffers.accumulator.size_bytes",
    "row-buffer size": "buffers.row.size_bytes",
    "DRAM bandwidth": "dram.bandwidth_gbytes_per_s",
}


@dataclass(frozen=True)
class Lever:
    """One thing made twice as large.

    Attributes:
        name: What it is.
        path: Its path in the description.
        before: Value now.
        after: Value tried.
        cycles: Cycles then.
        gain: Cycles now over cycles then; 1 means that it does not help.
    """

    name: str
    path: str
    before: float
    after: float
    cycles: int
    gain: float


@dataclass(frozen=True)
class RooflinePoint:
    """One operation under the roof.

    Attributes:
        name: Operation.
        part: Part of the network.
        ops_per_byte: Operations (2 per MAC) per byte of DRAM traffic.
        gops: Attained, over the cycles attributed to it.
    """

    name: str
    part: str
    ops_per_byte: float
    gops: float


def what_would_help(workload: Workload, machine: Machine) -> list[Lever]:
    """Double each part by itself and time the model again in closed form.

    Args:
        workload: The model.
        machine: The machine.

    Returns:
        Levers by falling gain, each of them simulated: what the machine does not have, what a description may not
        say and what would not fit is left out. Equal gains keep the order of the table above.
    """
    now = map_workload(machine, workload).timing
    levers = []
    for name, path in LEVERS.items():
        try:
            before = value_at(machine, path)
            tried = edit_machine(machine, {path: before * 2})
        except (AttributeError, ValueError):  # it has none, or already as many as a description may say
            continue
        then = map_workload(tried, workload).timing
        if now and then:
            levers.append(Lever(name, path, before, before * 2, then.cycles, now.cycles / then.cycles))
    return sorted(levers, key=lambda lever: -lever.gain)


def roofline(run: Run) -> list[RooflinePoint]:
    """Every matrix product that reads DRAM, with its operational intensity and its speed.

    Args:
        run: A run that fits.

    Returns:
        Points in program order.
    """
    points = []
    for layer in run.result.layers:
        if layer.macs and layer.dram_bytes and layer.cycles:
            seconds = layer.cycles / (run.machine.clock_mhz * 1e6)
            points.append(
                RooflinePoint(
                    layer.name, layer.part, 2 * layer.macs / layer.dram_bytes, 2 * layer.macs / seconds / 1e9
                )
            )
    return points


def limiting_resource(run: Run) -> tuple[str, float]:
    """The resource that is busy for the largest part of the run, and that part."""
    busiest = max(run.result.chunks, key=lambda chunk: chunk.utilization)
    return busiest.name, busiest.utilization
