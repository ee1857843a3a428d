"""Closed-form timing: one sum over phases, milliseconds per model.

A phase lasts as long as its busiest resource: a chunk, the re-quantization lanes, the activation buffer's
ports, DRAM, or the chain of row groups through its chunks (first tiles, the slowest stage, last tiles).
Between phases the MAC array waits where the first row group of what comes next is not ready when the last
tile of what came before is done.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from p2vit.accel.costs import ACTIVATION_BUFFER, CHUNKS, DRAM, MAC, REQUANT
from p2vit.accel.dataflow import Part, Schedule, Section
from p2vit.accel.load_store.closed_form import closed_form_of_units
from p2vit.accel.machine import Machine
from p2vit.accel.memory import pipelined
from p2vit.accel.timing import PhaseTime, Timing


@dataclass(frozen=True)
class _Phase:
    cycles: float
    wait: float
    limited_by: str
    waits_for: str


@dataclass(frozen=True)
class _SectionTime:
    """One section on its own.

    Attributes:
        lead: Cycles from the section before's first complete rows to the first MAC tile, and what they are
            spent on.
        slack: Cycles that the MAC array is still busy when the section's first rows are complete; may be
            negative.
    """

    lead: tuple[float, str]
    slack: float
    phases: tuple[_Phase, ...]
    operation_cycles: tuple[float, ...]
    busy: dict[str, float]
    exposed: dict[str, dict[str, float]]


def closed_form(machine: Machine, plan: Schedule) -> Timing:
    """Cycles of a schedule.

    Args:
        machine: The machine that the schedule was made for.
        plan: The schedule.

    Returns:
        Timing with every phase.
    """
    if machine.organisation == "load_store":
        return closed_form_of_units(machine, plan)
    known: dict[int, _SectionTime] = {}
    phases: list[PhaseTime] = []
    busy: dict[str, float] = defaultdict(float)
    stalls: dict[str, dict[str, float]] = {chunk: defaultdict(float) for chunk in CHUNKS}
    per_operation = []
    start = _first_weights(machine, plan.sections[0])
    total, slack = start, 0.0
    for index, section in enumerate(plan.sections):
        if id(section) not in known:
            known[id(section)] = _section(machine, section)
        timed = known[id(section)]
        join = max(0.0, timed.lead[0] - slack) if index and pipelined(machine) else 0.0
        slack = timed.slack
        total += join
        stalls[MAC][timed.lead[1]] += join
        for number, phase in enumerate(timed.phases):
            phases.append(PhaseTime(index, number, phase.cycles + phase.wait, phase.limited_by))
            if not number:
                phases[-1] = replace(phases[-1], cycles=phases[-1].cycles + join)
            total += phase.cycles + phase.wait
        for resource, cycles in timed.busy.items():
            busy[resource] += cycles
        for chunk, reasons in timed.exposed.items():
            for reason, cycles in reasons.items():
                stalls[chunk][reason] += cycles
        first, *others = timed.operation_cycles
        per_operation.append((first + join, *others))
    last = plan.sections[-1]
    drain = last.costs[last.parts[-1].operation].depth_cycles if pipelined(machine) else 0
    whole = total + drain
    cycles = -int(-whole // 1)
    # What no phase accounts for (first weights, the last drain, rounding up) goes to the first and last
    # operation.
    per_operation[0] = (per_operation[0][0] + start, *per_operation[0][1:])
    per_operation[-1] = (*per_operation[-1][:-1], per_operation[-1][-1] + cycles - total)
    for chunk in CHUNKS:
        stalls[chunk][f"{DRAM}: first weights and pixels"] += start
        rest = cycles - busy[chunk] - sum(stalls[chunk].values())
        stalls[chunk]["nothing to do in this phase"] += rest
    return Timing(
        cycles,
        dict(busy),
        {chunk: {reason: n for reason, n in reasons.items() if n > 0} for chunk, reasons in stalls.items()},
        tuple(per_operation),
        tuple(phases),
    )


def _first_weights(machine: Machine, section: Section) -> float:
    """Cycles until pixels and the first weight tile are on the chip and the array can begin.

    Without overlap, what stands in front of the array has a phase of its own, and the weights load behind it.
    """
    if not pipelined(machine):
        first = section.parts[0]
        return machine.dram_latency_cycles + first.fetched_bytes / first.passes / machine.dram_bytes_per_cycle
    fetched, prepared = 0.0, 0.0
    for part in section.parts:
        cost = section.costs[part.operation]
        fetched += part.fetched_bytes / part.passes
        if cost.chunk == MAC:
            break
        # What prepares the first row group runs beside the loading of the weights.
        prepared = fetched / machine.dram_bytes_per_cycle + _tile(section, part) + cost.depth_cycles
    return machine.dram_latency_cycles + max(prepared, fetched / machine.dram_bytes_per_cycle)


def _section(machine: Machine, section: Section) -> _SectionTime:
    by_phase: list[list[Part]] = [[] for _ in range(section.phases)]
    for part in section.parts:
        by_phase[part.phase].append(part)
    phases: list[_Phase] = []
    operation_cycles = [0.0] * len(section.operations)
    busy: dict[str, float] = defaultdict(float)
    exposed: dict[str, dict[str, float]] = {chunk: defaultdict(float) for chunk in CHUNKS}
    overlapped = pipelined(machine)
    lasted: list[float] = []
    for parts in by_phase:
        loads = _loads(machine, section, parts)
        chain = _chain(section, parts) if overlapped else 0.0
        limited_by = max(loads, key=lambda resource: loads[resource])
        longest = loads[limited_by]
        if chain > longest:
            longest, limited_by = chain, "chain of row groups"
        lasted.append(longest)
        wait, waits_for = (
            _wait(section, parts, lasted) if overlapped else _serial_wait(machine, section, parts)
        )
        phase = _Phase(longest, wait, limited_by, waits_for)
        phases.append(phase)
        _attribute(section, parts, phase, operation_cycles)
        _stalls(section, parts, phase, loads, exposed)
        for resource, cycles in _work(machine, section, parts).items():
            busy[resource] += cycles
    lead, slack = _lead(section), _slack(section, lasted)
    return _SectionTime(lead, slack, tuple(phases), tuple(operation_cycles), dict(busy), exposed)


def _lead(section: Section) -> tuple[float, str]:
    """Latency of what stands in front of the section's first MAC tile."""
    latency, reason = 0.0, f"{MAC}: pipeline drain"
    for part in section.parts:
        cost = section.costs[part.operation]
        if cost.chunk == MAC:
            break
        latency += _tile(section, part) + cost.depth_cycles
        reason = f"{cost.chunk}: first row group"
    return latency, reason


def _slack(section: Section, lasted: Sequence[float]) -> float:
    """What is left of the last MAC part when its first rows have passed everything behind it."""
    latency = 0.0
    for part in reversed(section.parts):
        cost = section.costs[part.operation]
        latency += cost.depth_cycles
        if cost.chunk == MAC:
            return (part.groups - 1) * lasted[part.phase] / part.tiles - latency
        latency += _tile(section, part)
    return -latency


def _work(machine: Machine, section: Section, parts: Sequence[Part]) -> dict[str, float]:
    """Cycles of useful work per resource."""
    work: dict[str, float] = defaultdict(float)
    for part in parts:
        cost = section.costs[part.operation]
        work[cost.chunk] += cost.busy_cycles / part.share
        work[REQUANT] += cost.requant_cycles / part.share
        work[ACTIVATION_BUFFER] += (
            cost.activation_bytes / part.share / machine.buffers.activation.bytes_per_cycle
        )
        work[DRAM] += part.dram_bytes / machine.dram_bytes_per_cycle
    return work


def _loads(machine: Machine, section: Section, parts: Sequence[Part]) -> dict[str, float]:
    """Cycles per resource with the waits that occupy it: starved ports, re-quantization that is not
    hidden.
    """
    loads = dict(_work(machine, section, parts))
    for part in parts:
        cost = section.costs[part.operation]
        loads[cost.chunk] += (cost.starved_cycles + cost.exposed_requant_cycles) / part.share
    return loads


def _tile(section: Section, part: Part) -> float:
    return section.costs[part.operation].occupied_cycles / part.share / part.tiles


def _chain(section: Section, parts: Sequence[Part]) -> float:
    """Longest chain of row groups inside a phase: ramp up, slowest stage, ramp down."""
    longest = 0.0
    inside = {part.index: part for part in parts}
    for last in parts:
        chain = [last]
        while True:
            before = next(
                (inside[need] for need, how in chain[0].needs if how == "rows" and need in inside), None
            )
            if before is None:
                break
            chain.insert(0, before)
        if len({section.costs[part.operation].chunk for part in chain}) < 2:
            continue
        times = [_tile(section, part) for part in chain]
        depths = sum(section.costs[part.operation].depth_cycles for part in chain[:-1])
        for slowest, part in enumerate(chain):
            up = sum(times[i] * _until_rows(chain[i], chain[i + 1]) for i in range(slowest))
            down = sum(times[i] * _until_rows(chain[i], chain[i]) for i in range(slowest + 1, len(chain)))
            if section.costs[part.operation].chunk != MAC:
                longest = max(longest, up + times[slowest] * part.tiles + down + depths)
    return longest


def _until_rows(part: Part, consumer: Part) -> int:
    """Tiles until a part has made something that ``consumer`` can take: whole rows come with the last
    pass.
    """
    return 1 if consumer.aligned else (part.passes - 1) * part.groups + 1


def _wait(section: Section, parts: Sequence[Part], lasted: Sequence[float]) -> tuple[float, str]:
    """Cycles between phases in which no part of the MAC array can start."""
    arrays = [part for part in parts if section.costs[part.operation].chunk == MAC]
    if not arrays:
        return 0.0, ""
    waits = [_wait_of(section, part, lasted) for part in arrays]
    return min(waits, key=lambda wait: wait[0])


def _wait_of(section: Section, part: Part, lasted: Sequence[float]) -> tuple[float, str]:
    latency, reason, phase, at = 0.0, "", part.phase, part
    while True:
        if not at.needs:  # across the section's edge: `_lead` and `_slack` of the neighbours
            return 0.0, ""
        need, how = at.needs[-1]
        before = section.parts[need]
        cost = section.costs[before.operation]
        latency += cost.depth_cycles
        if cost.chunk == MAC:
            if before.phase == phase:  # another part of the array opens the phase
                return math.inf, ""
            if before.phase < phase - 1:
                return 0.0, ""
            # Tiles of a phase's parts take turns: each part's are spread over the whole phase.
            apart = lasted[before.phase] / before.tiles
            hidden = (before.groups - 1) * apart if how == "rows" else 0.0
            return max(0.0, latency - hidden), reason or f"{MAC}: pipeline drain"
        if before.phase < phase - 1:
            return 0.0, ""
        latency += _tile(section, before)
        reason = reason or f"{cost.chunk}: first row group"
        at = before


def _serial_wait(machine: Machine, section: Section, parts: Sequence[Part]) -> tuple[float, str]:
    """Without overlap every operation is waited for, down to the last stage, and one engine has to be turned
    over.
    """
    depth = sum(section.costs[part.operation].depth_cycles for part in parts)
    turn = machine.reconfiguration_cycles if machine.organisation == "single_engine" else 0
    return float(depth + turn), "pipeline drain and reconfiguration" if turn else "pipeline drain"


def _attribute(section: Section, parts: Sequence[Part], phase: _Phase, operation_cycles: list[float]) -> None:
    """Give a phase's cycles to its operations on the MAC array, or to all of them where there are none."""
    arrays = [part for part in parts if section.costs[part.operation].chunk == MAC] or list(parts)
    weights = [max(1e-9, section.costs[part.operation].occupied_cycles / part.share) for part in arrays]
    whole = sum(weights)
    for part, weight in zip(arrays, weights, strict=True):
        operation_cycles[part.operation] += (phase.cycles + phase.wait) * weight / whole


def _stalls(
    section: Section,
    parts: Sequence[Part],
    phase: _Phase,
    loads: dict[str, float],
    exposed: dict[str, dict[str, float]],
) -> None:
    """Book the MAC array's and the shifters' lost cycles of one phase under their reasons."""
    for part in parts:
        cost = section.costs[part.operation]
        if cost.starved_cycles:
            exposed[cost.chunk]["weight buffer: too few bytes per cycle"] += cost.starved_cycles / part.share
        if cost.exposed_requant_cycles:
            exposed[cost.chunk][f"{REQUANT}: not hidden"] += cost.exposed_requant_cycles / part.share
    if MAC in loads:
        if phase.wait:
            exposed[MAC][phase.waits_for] += phase.wait
        if phase.cycles > loads[MAC]:
            exposed[MAC][f"{phase.limited_by}: slower than the array"] += phase.cycles - loads[MAC]
