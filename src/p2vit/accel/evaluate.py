"""One point of a search: a changed machine, timed in closed form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from p2vit.accel.area import area_mm2
from p2vit.accel.edit import edit_machine
from p2vit.accel.machine import Machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.simulate import mac_utilization, run_energy
from p2vit.accel.technology import load_technology
from p2vit.accel.workload import Workload

WEIGHT_BITS = "weight_bits"
#: Key of the workload whose bits are not a choice: that of a program.
OWN_BITS = 0


@dataclass(frozen=True)
class Figures:
    """Figures of one point; ``fits`` false means that the mapping does not fit and the figures are None.

    Attributes:
        fits: Whether the model runs.
        misfit: Bytes missing over bytes there, of the worst misfit; 0 where it fits.
        values: latency_ms, energy_mj, area_mm2, power_mw, dsps, utilization.
    """

    fits: bool
    misfit: float
    values: dict[str, float]


def evaluate(machine: Machine, workload: Workload) -> Figures:
    """Time, energy and area of one machine, in closed form.

    Args:
        machine: The machine.
        workload: The model.

    Returns:
        Its figures.
    """
    technology = load_technology(machine.technology)
    mapping = map_workload(machine, workload)
    area = sum(area_mm2(machine, technology).values())
    if mapping.timing is None:
        return Figures(
            False,
            max(misfit.gap / misfit.bound for misfit in mapping.misfits),
            {"area_mm2": area, "dsps": machine.dsps},
        )
    plan, cycles = mapping.plan, mapping.timing.cycles
    milliseconds = cycles / (machine.clock_mhz * 1e3)
    energy = run_energy(machine, technology, plan, cycles).total / 1e9
    values = {
        "latency_ms": milliseconds,
        "energy_mj": energy,
        "area_mm2": area,
        "power_mw": energy / milliseconds * 1e3,
        "dsps": machine.dsps,
        "utilization": mac_utilization(machine, plan, cycles),
    }
    return Figures(True, 0.0, values)


def evaluate_points(
    machine: Machine, workloads: Mapping[int, Workload], points: Sequence[Mapping[str, float]]
) -> list[Figures]:
    """Evaluate a batch in one process.

    Args:
        machine: The machine that the points change.
        workloads: The model by weight bits; `OWN_BITS` is for points that name none.
        points: Values by path, and ``weight_bits`` where they are a choice.

    Returns:
        Figures in the order of the points.
    """
    figures = []
    for point in points:
        changes = {path: value for path, value in point.items() if path != WEIGHT_BITS}
        figures.append(evaluate(edit_machine(machine, changes), workloads[int(point.get(WEIGHT_BITS, OWN_BITS))]))
    return figures
