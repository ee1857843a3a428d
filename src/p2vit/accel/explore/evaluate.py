"""Figures of one point of a design-space search: a changed machine, timed in closed form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from p2vit.accel.energy.area import area_mm2
from p2vit.accel.machine.description import Machine
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.technology import load_technology
from p2vit.accel.mapping import map_workload
from p2vit.accel.simulate import mac_utilization, run_energy
from p2vit.accel.workload.operations import Workload
from p2vit.errors import P2vitError

WEIGHT_BITS = "weight_bits"
#: Makes the machine of a point from the machine to start from and the values by name.
Builder = Callable[[Machine, Mapping[str, Any]], Machine]
#: Key of a workload whose weight widths are fixed, because it comes from a program.
OWN_BITS = 0


@dataclass(frozen=True)
class Figures:
    """Figures of one point.

    Attributes:
        fits: Whether the model fits the machine.
        misfit: Missing size divided by available size, of the worst misfit; 0 if the model fits.
        values: latency_ms, energy_mj, area_mm2, power_mw, dsps and utilization; area_mm2 and dsps only, or nothing, if
            the model does not fit.
    """

    fits: bool
    misfit: float
    values: dict[str, float]


def evaluate(machine: Machine, workload: Workload) -> Figures:
    """Compute time, energy and area of one machine, in closed form.

    Args:
        machine: Machine.
        workload: Model that runs on it.

    Returns:
        Figures of the machine.
    """
    technology = load_technology(machine.technology)
    mapping = map_workload(machine, workload)
    area = sum(area_mm2(machine, technology).values())
    if mapping.timing is None:
        return Figures(
            False,
            # A machine that cannot execute an operation at all offers 0 of what is missing.
            max(misfit.gap / max(misfit.bound, 1) for misfit in mapping.misfits),
            {"area_mm2": area, "dsps": machine.dsps},
        )
    plan, cycles = mapping.plan, mapping.timing.cycles
    milliseconds = cycles / (machine.clock_mhz * 1e3)
    energy = run_energy(machine, technology, plan, mapping.timing).total / 1e9
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
    machine: Machine,
    workloads: Mapping[int, Workload],
    points: Sequence[Mapping[str, float]],
    build: Builder = edit_machine,
) -> list[Figures]:
    """Evaluate a batch in one process.

    Args:
        machine: Machine that the points change.
        workloads: Workload of the model by weight width; `OWN_BITS` is the key for points without a weight width.
        points: Values by path, and ``weight_bits`` if the search chooses it.
        build: Makes the machine of a point; by default, the names are paths in the machine description.

    Returns:
        Figures in the order of the points.
    """
    figures = []
    for point in points:
        changes = {path: value for path, value in point.items() if path != WEIGHT_BITS}
        try:
            built = build(machine, changes)
        except P2vitError:  # the values contradict each other, so the machine cannot be built
            figures.append(Figures(False, 1.0, {}))
            continue
        figures.append(evaluate(built, workloads[int(point.get(WEIGHT_BITS, OWN_BITS))]))
    return figures
