"""Closed form of a machine that has own hardware for every matrix product; images flow through all of it."""

from dataclasses import dataclass

from p2vit.accel.machine.description import Machine
from p2vit.accel.workload.operations import Workload


@dataclass(frozen=True)
class Pipeline:
    """Steady state of a spatial pipeline.

    Attributes:
        interval_cycles: Cycles between two images.
        utilization: MACs of the model divided by the products of all multipliers in that time.
        dram_bytes: Bytes per image: pixels, and all weights if they do not fit the weight buffer.
        limited_by: ``multipliers`` or ``dram``.
    """

    interval_cycles: int
    utilization: float
    dram_bytes: int
    limited_by: str


def spatial_pipeline(workload: Workload, machine: Machine) -> Pipeline | None:
    """Divide the multipliers of a machine among all matrix products of a model, so that the slowest is fastest.

    A product of M MACs that has n multipliers takes ⌈M / n⌉ cycles. The interval is the smallest for which the
    multipliers suffice, found by bisection.

    Args:
        workload: Model.
        machine: Gives multipliers, clock, DRAM bandwidth and weight buffer.

    Returns:
        The steady state, or None if the model has more matrix products than the machine has multipliers.
    """
    macs = [op.macs for op in workload.operations if op.macs]
    lanes = machine.chunks.mac_array.macs_per_cycle
    if len(macs) > lanes:
        return None
    low, high = 1, max(macs)
    while low < high:
        middle = (low + high) // 2
        if sum(-(-each // middle) for each in macs) <= lanes:
            high = middle
        else:
            low = middle + 1
    resident = workload.weight_bytes <= machine.buffers.weight.size_bytes
    traffic = workload.input_bytes + (0 if resident else workload.weight_bytes)
    transfer = -(-traffic // machine.dram_bytes_per_cycle)
    interval = int(max(low, transfer))
    return Pipeline(
        interval, workload.macs / (interval * lanes), traffic, "dram" if transfer > low else "multipliers"
    )
