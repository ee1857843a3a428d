"""Explains the latency of a run: roofline, limiting resource, and the gain from doubling each resource."""

from dataclasses import dataclass

from p2vit.accel.machine.description import Machine
from p2vit.accel.machine.edit import edit_machine, value_at
from p2vit.accel.mapping import map_workload
from p2vit.accel.simulate import Run
from p2vit.accel.workload.operations import Workload

# Resources that an architect can enlarge, with their paths in the description. Each is tried at twice the size.
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
    """A resource of the machine, doubled to see whether it limits the run.

    Attributes:
        name: Name of the resource.
        path: Path in the description.
        before: Value in the description.
        after: Doubled value.
        cycles: Cycles of the run with the doubled value.
        gain: Cycles before divided by cycles after; 1 means that doubling does not help.
    """

    name: str
    path: str
    before: float
    after: float
    cycles: int
    gain: float


@dataclass(frozen=True)
class RooflinePoint:
    """One operation in the roofline diagram.

    Attributes:
        name: Name of the operation.
        part: Part of the network.
        ops_per_byte: Operational intensity: arithmetic operations (2 per MAC) per byte of DRAM traffic.
        gops: Attained GOPS, over the cycles attributed to the operation.
    """

    name: str
    part: str
    ops_per_byte: float
    gops: float


def what_would_help(workload: Workload, machine: Machine) -> list[Lever]:
    """Double each resource by itself and time the model again in closed form.

    Args:
        workload: Model.
        machine: Machine that it runs on.

    Returns:
        Levers by decreasing gain; equal gains keep the order of ``LEVERS``. A resource is left out if the machine does
        not have it, if twice its value is not allowed, or if the model does not fit then.
    """
    now = map_workload(machine, workload).timing
    levers = []
    for name, path in LEVERS.items():
        try:
            before = value_at(machine, path)
            tried = edit_machine(machine, {path: before * 2})
        except (AttributeError, ValueError):  # no such resource, or a value that is too large
            continue
        then = map_workload(tried, workload).timing
        if now and then:
            levers.append(Lever(name, path, before, before * 2, then.cycles, now.cycles / then.cycles))
    return sorted(levers, key=lambda lever: -lever.gain)


def roofline(run: Run) -> list[RooflinePoint]:
    """Compute operational intensity and speed of every matrix product that reads DRAM.

    Args:
        run: Run of a model that fits the machine.

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
    """Return the resource with the highest utilization, and that utilization (0 to 1)."""
    busiest = max(run.result.chunks, key=lambda chunk: chunk.utilization)
    return busiest.name, busiest.utilization
