"""Simulate one model on one machine: cycles, energy, area and utilization, or the reason why it does not fit."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from p2vit.accel.chunks.costs import (
    ACTIVATION_BUFFER,
    CHUNKS,
    DRAM,
    MAC,
    REQUANT,
    RESOURCES,
    Cost,
    array_of,
    columns_per_step,
)
from p2vit.accel.chunks.memory import Misfit
from p2vit.accel.chunks.sections import Schedule, Section
from p2vit.accel.energy.area import area_mm2
from p2vit.accel.energy.clock import idle_clock_pj
from p2vit.accel.energy.energy import EnergyBreakdown, leakage_pj, memory_rates, operation_energy
from p2vit.accel.machine.description import Machine
from p2vit.accel.machine.technology import Technology, load_technology
from p2vit.accel.mapping import Mapping, map_workload
from p2vit.accel.organisation import simulate_events
from p2vit.accel.results import ChunkUse, Infeasible, Layer, Simulation
from p2vit.accel.timing import Timing
from p2vit.accel.workload.operations import Operation, Workload

Method = Literal["closed_form", "events", "descriptors"]
_PJ_PER_MJ = 1e9


@dataclass(frozen=True)
class Run:
    """Simulation with its inputs, for explanations, traces and reports.

    Attributes:
        workload: Model that was simulated.
        machine: Machine that it ran on.
        technology: Energy and area table.
        plan: Schedule.
        timing: Cycles; None if the model does not fit.
        result: Figures for users.
    """

    workload: Workload
    machine: Machine
    technology: Technology
    plan: Schedule
    timing: Timing | None
    result: Simulation


def simulate(
    workload: Workload,
    machine: Machine,
    method: Method = "closed_form",
    timing_of: Callable[[Schedule], Timing] | None = None,
) -> Run:
    """Simulate one run: one image, or a batch of images.

    Args:
        workload: All operations of the model.
        machine: Machine that it runs on.
        method: ``closed_form`` (takes milliseconds), ``events`` (tile by tile, with the reason of every stall), or
            ``descriptors`` (cycles from ``timing_of``).
        timing_of: Computes the timing of a schedule for a machine that exists as RTL; None otherwise.

    Returns:
        Run. If the model does not fit, this is no error: the result has ``fits`` false and names the levers.

    Raises:
        AccelError: The machine names a technology or a DRAM kind that does not exist.
    """
    technology = load_technology(machine.technology)
    technology.dram_energy(machine.dram.kind)
    mapping = map_workload(machine, workload)
    plan, timing = mapping.plan, mapping.timing
    if timing is None:
        result = _unfit(workload, machine, technology, method, mapping.misfits)
        return Run(workload, machine, technology, plan, None, result)
    if timing_of:
        timing = timing_of(plan)
    elif method == "events":
        timing = simulate_events(machine, plan)
    result = _result(workload, machine, technology, mapping, timing, method)
    return Run(workload, machine, technology, plan, timing, result)


def run_energy(machine: Machine, technology: Technology, plan: Schedule, timing: Timing) -> EnergyBreakdown:
    """Compute the energy per image in pJ."""
    known: dict[int, EnergyBreakdown] = {}
    rates = memory_rates(machine, technology)
    total = EnergyBreakdown(
        leakage=leakage_pj(machine, technology, timing.cycles),
        idle_clock=idle_clock_pj(machine, technology, timing),
    )
    for section in plan.sections:
        if id(section) not in known:
            subtotal = EnergyBreakdown()
            for index, (op, cost) in enumerate(zip(section.operations, section.costs, strict=True)):
                dram = section.memory.fetched_bytes[index] + section.memory.spilled_bytes[index]
                subtotal = subtotal + operation_energy(machine, technology, rates, op, cost, dram)
            known[id(section)] = subtotal
        total = total + known[id(section)]
    return total


def mac_utilization(machine: Machine, plan: Schedule, cycles: int) -> float:
    """Compute the useful MACs of the array divided by its peak over the whole run; a 4-bit MAC counts half."""
    slots = 0.0
    for section in plan.sections:
        for op, cost in zip(section.operations, section.costs, strict=True):
            if cost.chunk == MAC and op.inner:
                slots += op.macs / columns_per_step(machine, op)
    return slots / (machine.chunks.mac_array.macs_per_cycle * cycles)


def _layers(machine: Machine, technology: Technology, plan: Schedule, timing: Timing) -> tuple[Layer, ...]:
    layers = []
    rates = memory_rates(machine, technology)
    for number, (section, own) in enumerate(zip(plan.sections, plan.operations, strict=True)):
        for index, (op, cost) in enumerate(zip(own, section.costs, strict=True)):
            dram = section.memory.fetched_bytes[index] + section.memory.spilled_bytes[index]
            energy = operation_energy(machine, technology, rates, op, cost, dram)
            layers.append(
                Layer(
                    name=op.name,
                    kind=op.kind,
                    part=op.part,
                    block=op.block,
                    chunk=cost.chunk,
                    macs=op.macs,
                    cycles=timing.operation_cycles[number][index],
                    busy_cycles=cost.busy_cycles,
                    requant_cycles=cost.requant_cycles,
                    lines=cost.lines,
                    weight_tiles=section.memory.passes[index],
                    limited_by=_limited_by(machine, section, index),
                    utilization=_lane_use(machine, op, cost),
                    dram_bytes=dram,
                    activation_buffer_bytes=cost.activation_bytes,
                    weight_buffer_bytes=cost.weight_read_bytes,
                    accumulator_buffer_bytes=cost.accumulator_bytes,
                    energy_pj=energy.total,
                    macs_per_dram_byte=op.macs / dram if op.macs and dram else None,
                )
            )
    return tuple(layers)


def _limited_by(machine: Machine, section: Section, index: int) -> str:
    """Return the resource that an operation takes longest on, and the buffer that limits its lines, if one does."""
    cost, memory = section.costs[index], section.memory
    moved = (memory.fetched_bytes[index] + memory.spilled_bytes[index]) / machine.dram_bytes_per_cycle
    port = cost.activation_bytes / machine.buffers.activation.bytes_per_cycle
    loads = {
        cost.chunk: cost.occupied_cycles,
        REQUANT: cost.requant_cycles,
        ACTIVATION_BUFFER: port,
        DRAM: moved,
    }
    slowest = max(loads, key=lambda name: loads[name])
    held = memory.limits[index] if memory.limits and cost.lines == memory.lines[index] else ""
    return f"{slowest}; no more lines because of the {held.replace('_', ' ')}" if held else slowest


def peak_gops(machine: Machine, workload: Workload) -> float:
    """Compute the peak GOPS of all lanes: two operations per MAC or shift, two columns per step with 4-bit weights."""
    wide = max((columns_per_step(machine, op) for op in workload.operations), default=1)
    # On a load–store machine, a shifter replaces its multiplier and adds no throughput.
    lanes = machine.chunks.mac_array.macs_per_cycle * wide + (machine.shifter_lanes if machine.flows else 0)
    return 2 * lanes * machine.clock_mhz / 1e3


def _lane_use(machine: Machine, op: Operation, cost: Cost) -> float:
    chunks = machine.chunks
    if op.inner:
        array = array_of(machine, cost.chunk)
        peak = array.lines * array.lanes_per_line * columns_per_step(machine, op)
        return op.macs / (peak * cost.busy_cycles)
    unit = getattr(chunks, cost.chunk)
    return op.elements * getattr(unit, "passes", 1) / (unit.lanes * cost.busy_cycles)


def _result(
    workload: Workload,
    machine: Machine,
    technology: Technology,
    mapping: Mapping,
    timing: Timing,
    method: Method,
) -> Simulation:
    plan = mapping.plan
    seconds = timing.cycles / (machine.clock_mhz * 1e6)
    energy = run_energy(machine, technology, plan, timing)
    area = area_mm2(machine, technology)
    gops = 2 * workload.macs / seconds / 1e9
    dsps = machine.dsps or None
    layers = _layers(machine, technology, plan, timing)
    chunks = tuple(
        ChunkUse(
            name=name,
            busy_cycles=timing.busy.get(name, 0.0),
            utilization=timing.busy.get(name, 0.0) / timing.cycles,
            stalls=timing.stalls.get(name, {}) if name in CHUNKS else {},
        )
        for name in RESOURCES
    )
    return Simulation(
        model=workload.name,
        hardware=machine.name,
        technology=technology.name,
        method=method,
        batch=workload.images,
        fits=True,
        infeasible=(),
        clock_mhz=machine.clock_mhz,
        active_lines=mapping.active_lines,
        macs=workload.macs,
        cycles=timing.cycles,
        latency_ms=seconds * 1e3,
        images_per_s=workload.images / seconds,
        gops=gops,
        peak_gops=peak_gops(machine, workload),
        dsps=dsps,
        asic_only=dsps is not None,
        macs_per_dsp=machine.chunks.mac_array.macs_per_dsp or None,
        gops_per_dsp=gops / dsps if dsps else None,
        utilization=mac_utilization(machine, plan, timing.cycles),
        energy_mj=energy.total / _PJ_PER_MJ,
        energy_breakdown_mj={name: value / _PJ_PER_MJ for name, value in asdict(energy).items()},
        power_mw=energy.total / _PJ_PER_MJ / seconds,
        area_mm2=sum(area.values()),
        area_breakdown_mm2=area,
        dram_bytes=sum(layer.dram_bytes for layer in layers),
        chunks=chunks,
        layers=layers,
    )


def _unfit(
    workload: Workload, machine: Machine, technology: Technology, method: Method, misfits: Sequence[Misfit]
) -> Simulation:
    area = area_mm2(machine, technology)
    return Simulation(
        model=workload.name,
        hardware=machine.name,
        technology=technology.name,
        method=method,
        batch=workload.images,
        fits=False,
        infeasible=tuple(Infeasible(**asdict(misfit), gap=misfit.gap) for misfit in misfits),
        clock_mhz=machine.clock_mhz,
        active_lines=None,
        macs=workload.macs,
        peak_gops=peak_gops(machine, workload),
        dsps=machine.dsps or None,
        asic_only=bool(machine.dsps),
        macs_per_dsp=machine.chunks.mac_array.macs_per_dsp or None,
        energy_breakdown_mj={},
        area_mm2=sum(area.values()),
        area_breakdown_mm2=area,
        dram_bytes=0.0,
        chunks=(),
        layers=(),
        cycles=None,
        latency_ms=None,
        images_per_s=None,
        gops=None,
        gops_per_dsp=None,
        utilization=None,
        energy_mj=None,
        power_mw=None,
    )
