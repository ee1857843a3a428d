"""Closed-form timing of a load–store machine: a sum over phases.

A phase is one operation of the array with the vector operations that overlap with it: LayerNorm before it, softmax,
table or add after it. A phase takes as long as its busiest engine or memory port. Before a phase, the array waits if
the loads of its first run are not hidden behind earlier runs, or if its operands are not written yet.
"""

from collections import defaultdict

from p2vit.accel.chunks.costs import CHUNKS, DRAM, MAC
from p2vit.accel.chunks.sections import Schedule
from p2vit.accel.load_store.events import FILL
from p2vit.accel.load_store.phases import Phase, drain, wait
from p2vit.accel.load_store.section import JobSection
from p2vit.accel.machine.description import Machine
from p2vit.accel.timing import PhaseTime, Timing


def closed_form_of_jobs(machine: Machine, plan: Schedule[JobSection]) -> Timing:
    """Compute the cycles of a schedule.

    Args:
        machine: Load–store machine that the schedule was made for.
        plan: Schedule without misfits.

    Returns:
        Timing with every phase, without tiles.
    """
    known: dict[int, list[Phase]] = {}
    waits: dict[tuple[int, int], float] = {}
    phases: list[PhaseTime] = []
    busy: dict[str, float] = defaultdict(float)
    stalls: dict[str, dict[str, float]] = {chunk: defaultdict(float) for chunk in CHUNKS}
    per_operation = []
    total = 0.0
    before: Phase | None = None
    for number, section in enumerate(plan.sections):
        if id(section) not in known:
            known[id(section)] = [Phase.of(shape, section.totals) for shape in section.shapes]
        own = [0.0] * len(section.operations)
        for place, phase in enumerate(known[id(section)]):
            pair = id(before), id(phase)
            if pair not in waits:
                waits[pair] = float(wait(machine, before, phase, place == 0))
            waited = waits[pair]
            loads = phase.loads(before)
            limited_by = max(loads, key=lambda resource: loads[resource])
            cycles = float(loads[limited_by])
            phases.append(PhaseTime(number, place, cycles + waited, limited_by))
            own[phase.core.index] += cycles + waited
            total += cycles + waited
            for op in phase.operations:
                chunk = section.costs[op.index].chunk
                busy[chunk] += op.work
                busy[DRAM] += op.words
                stalls[chunk][FILL] += op.fill
                for reason, slow in op.slowed.items():
                    stalls[chunk][reason] += slow
            if phase.core.engine == "array":
                stalls[MAC]["load engine: first rows and weights"] += waited
                over = cycles - loads["array engine"]
                stalls[MAC][f"{limited_by}: slower than the array"] += float(over)
            before = phase
        per_operation.append(own)
    assert before is not None
    whole = total + float(drain(machine, before))
    cycles = -int(-whole // 1)
    per_operation[-1][-1] += cycles - total
    for chunk in CHUNKS:
        rest = cycles - busy[chunk] - sum(stalls[chunk].values())
        stalls[chunk]["nothing to do in this phase"] += rest
    return Timing(
        cycles,
        dict(busy),
        {chunk: {reason: n for reason, n in reasons.items() if n > 0} for chunk, reasons in stalls.items()},
        tuple(tuple(own) for own in per_operation),
        tuple(phases),
    )
