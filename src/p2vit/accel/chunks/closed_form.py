"""Closed-form timing: sums and maxima over the phases of a schedule. A model takes milliseconds.

Where rows flow from chunk to chunk, `flow` computes when every task begins and ends. Without overlap, a phase is one
operation. It takes as long as its busiest resource: its chunk, the re-quantization lanes, the ports of the activation
buffer or DRAM.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from p2vit.accel.chunks.costs import ACTIVATION_BUFFER, CHUNKS, DRAM, MAC, REQUANT, Number, starvation_reason
from p2vit.accel.chunks.dataflow import Task, TaskSection
from p2vit.accel.chunks.flow import SAME, Flow, PhaseRecord
from p2vit.accel.chunks.memory import pipelined
from p2vit.accel.chunks.sections import Schedule
from p2vit.accel.machine.description import Machine
from p2vit.accel.timing import PhaseTime, Timing


@dataclass(frozen=True)
class _SectionTime:
    """Cycles of one section.

    Attributes:
        phases: Phases in which the MAC array works.
        operation_cycles: Cycles attributed to each operation.
        cycles: Cycles from the end of the MAC array's work on the previous section to the end of its work on this one.
        busy: Cycles of useful work per resource.
        stalls: Cycles that each chunk waits, by reason.
    """

    phases: tuple[PhaseRecord, ...]
    operation_cycles: tuple[float, ...]
    cycles: float
    busy: dict[str, float]
    stalls: dict[str, dict[str, float]]


def closed_form_of_tasks(machine: Machine, plan: Schedule[TaskSection]) -> Timing:
    """Compute the cycles of a schedule.

    Args:
        machine: Machine that the schedule was made for.
        plan: Schedule without misfits.

    Returns:
        Timing with every phase, without tiles.
    """
    start = float(machine.dram_latency_cycles)
    if pipelined(machine):
        timed, whole = _flowing(machine, plan)
    else:
        timed = _serial(machine, plan)
        whole = start + sum(section.cycles for section in timed)
    cycles = -int(-(whole - SAME) // 1)
    busy: dict[str, float] = defaultdict(float)
    stalls: dict[str, dict[str, float]] = {chunk: defaultdict(float) for chunk in CHUNKS}
    phases = []
    for number, section in enumerate(timed):
        for phase in section.phases:
            if phase.cycles > 0:
                phases.append(PhaseTime(number, phase.phase, phase.cycles, phase.limited_by))
        for resource, worked in section.busy.items():
            busy[resource] += worked
        for chunk, reasons in section.stalls.items():
            for reason, lost in reasons.items():
                stalls[chunk][reason] += lost
    for chunk in CHUNKS:
        stalls[chunk][f"{DRAM}: first weights and pixels"] += start
        rest = cycles - busy[chunk] - sum(stalls[chunk].values())
        stalls[chunk]["nothing to do in this phase"] += rest
    # Cycles outside all phases (first weights, last drain, rounding up) go to the first and the last operation.
    per_operation = [list(section.operation_cycles) for section in timed]
    per_operation[0][0] += start
    per_operation[-1][-1] += cycles - start - sum(section.cycles for section in timed)
    return Timing(
        cycles,
        dict(busy),
        {
            chunk: {reason: n for reason, n in reasons.items() if n > SAME}
            for chunk, reasons in stalls.items()
        },
        tuple(tuple(own) for own in per_operation),
        tuple(phases),
    )


def cycles_of_many(machine: Machine, plan: Schedule[TaskSection], many: int) -> np.ndarray:
    """Compute the cycles of many mappings at once, each equal to the result of `closed_form_of_tasks`.

    Args:
        machine: Machine whose rows flow from chunk to chunk.
        plan: Schedule whose costs are arrays with one element per mapping.
        many: Number of mappings.

    Returns:
        Cycles, float [many].
    """
    flow = Flow(machine, many=many)
    for section, times in _runs(plan):
        _repeat(flow, section, times)
    return np.ceil(flow.end() - SAME)


def _runs(plan: Schedule[TaskSection]) -> list[tuple[TaskSection, int]]:
    """Group consecutive equal sections: (section, number of consecutive occurrences)."""
    runs: list[tuple[TaskSection, int]] = []
    for section in plan.sections:
        if runs and runs[-1][0] is section:
            runs[-1] = section, runs[-1][1] + 1
        else:
            runs.append((section, 1))
    return runs


def _repeat(flow: Flow, section: TaskSection, times: int) -> list[tuple[tuple[PhaseRecord, ...], Number]]:
    """Time consecutive repetitions of a section; stop early once a repetition changes nothing but the time."""
    walked: list[tuple[tuple[PhaseRecord, ...], Number]] = []
    state = flow.state()
    for done in range(1, times + 1):
        before = flow.free[MAC]
        records = tuple(flow.section(section))
        took = flow.free[MAC] - before
        walked.append((records, took))
        after = flow.state()
        if np.abs(after - state).max() < SAME:
            flow.move_on(took * (times - done))
            walked += [(records, took)] * (times - done)
            break
        state = after
    return walked


def _flowing(machine: Machine, plan: Schedule[TaskSection]) -> tuple[list[_SectionTime], float]:
    """Time every section of a single mapping; also return the cycle at which all work is done."""
    flow = Flow(machine)
    timed = []
    for section, times in _runs(plan):
        works = _works(machine, section)
        known: dict[int, _SectionTime] = {}
        walked = _repeat(flow, section, times)
        for records, took in walked:
            if id(records) not in known:
                known[id(records)] = _section_time(section, records, took, works)
            timed.append(known[id(records)])
    return timed, float(flow.end())


def _section_time(
    section: TaskSection, records: Sequence[PhaseRecord], cycles: float, works: Sequence[dict[str, float]]
) -> _SectionTime:
    operation_cycles = [0.0] * len(section.operations)
    busy: dict[str, float] = defaultdict(float)
    stalls: dict[str, dict[str, float]] = {chunk: defaultdict(float) for chunk in CHUNKS}
    for task in section.tasks:
        _own_waits(section, task, stalls)
    for work in works:
        for resource, worked in work.items():
            busy[resource] += worked
    by_phase: list[list[Task]] = [[] for _ in range(section.phases)]
    for task in section.tasks:
        by_phase[task.phase].append(task)
    for record in records:
        tasks = by_phase[record.phase]
        _attribute(section, tasks, record.cycles, operation_cycles)
        occupied = sum(
            section.costs[task.operation].occupied_cycles / task.share
            for task in tasks
            if section.costs[task.operation].chunk == MAC
        )
        stalls[MAC][record.waited_for] += record.waited
        stalls[MAC][record.limited_by] += max(0.0, record.cycles - record.waited - occupied)
    return _SectionTime(
        tuple(records),
        tuple(operation_cycles),
        cycles,
        busy,
        {chunk: dict(own) for chunk, own in stalls.items()},
    )


def _works(machine: Machine, section: TaskSection) -> list[dict[str, float]]:
    """Sum the cycles of useful work per resource, for each phase."""
    by_phase: list[dict[str, float]] = [defaultdict(float) for _ in range(section.phases)]
    for task in section.tasks:
        cost, work = section.costs[task.operation], by_phase[task.phase]
        work[cost.chunk] += cost.busy_cycles / task.share
        work[REQUANT] += cost.requant_cycles / task.share
        work[ACTIVATION_BUFFER] += (
            cost.activation_bytes / task.share / machine.buffers.activation.bytes_per_cycle
        )
        work[DRAM] += task.dram_bytes / machine.dram_bytes_per_cycle
    return by_phase


def _serial(machine: Machine, plan: Schedule[TaskSection]) -> list[_SectionTime]:
    known: dict[int, _SectionTime] = {}
    for section in plan.sections:
        if id(section) not in known:
            known[id(section)] = _serial_section(machine, section)
    return [known[id(section)] for section in plan.sections]


def _serial_section(machine: Machine, section: TaskSection) -> _SectionTime:
    """Time a section without overlap: each operation drains its pipeline before the next one begins."""
    works = _works(machine, section)
    turn = machine.switch_cycles
    why = "pipeline drain and reconfiguration" if turn else "pipeline drain"
    records, operation_cycles = [], [0.0] * len(section.operations)
    busy: dict[str, float] = defaultdict(float)
    stalls: dict[str, dict[str, float]] = {chunk: defaultdict(float) for chunk in CHUNKS}
    for task, work in zip(section.tasks, works, strict=True):
        cost = section.costs[task.operation]
        loads = work | {cost.chunk: cost.occupied_cycles}
        limited_by = max(loads, key=lambda resource: loads[resource])
        longest, wait = loads[limited_by], cost.depth_cycles + turn
        records.append(PhaseRecord(task.phase, longest + wait, 0.0, "", limited_by))
        operation_cycles[task.operation] += longest + wait
        for resource, worked in work.items():
            busy[resource] += worked
        _own_waits(section, task, stalls)
        if cost.chunk == MAC:
            stalls[MAC][why] += wait
            stalls[MAC][f"{limited_by}: slower than the array"] += longest - cost.occupied_cycles
    cycles = sum(operation_cycles)
    return _SectionTime(tuple(records), tuple(operation_cycles), cycles, busy, stalls)


def _own_waits(section: TaskSection, task: Task, stalls: dict[str, dict[str, float]]) -> None:
    """Add a task's own waits to the stalls: for its weight port and for exposed re-quantization."""
    cost = section.costs[task.operation]
    if cost.starved_cycles:
        why = starvation_reason(section.operations[task.operation].kind)
        stalls[cost.chunk][why] += cost.starved_cycles / task.share
    if cost.exposed_requant_cycles:
        stalls[cost.chunk][f"{REQUANT}: not hidden"] += cost.exposed_requant_cycles / task.share


def _attribute(
    section: TaskSection, tasks: Sequence[Task], cycles: float, operation_cycles: list[float]
) -> None:
    """Distribute the cycles of a phase over its operations on the MAC array, in proportion to their work."""
    arrays = [task for task in tasks if section.costs[task.operation].chunk == MAC]
    weights = [max(1e-9, section.costs[task.operation].occupied_cycles / task.share) for task in arrays]
    whole = sum(weights)
    for task, weight in zip(arrays, weights, strict=True):
        operation_cycles[task.operation] += cycles * weight / whole
