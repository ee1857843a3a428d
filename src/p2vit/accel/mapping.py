"""The mapping of a workload: how many lines of the array each operation uses.

More lines are not always better: a row group as large as the image leaves nothing to overlap, and scores of as many
rows must fit the accumulator buffer. Linears and attention have their own number of lines, and all pairs are
compared; where a buffer allows an operation fewer, it uses what fits. A machine that has more of anything has all
the mappings of the smaller one, none of them slower, so it is never slower itself.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from p2vit.accel.closed_form import closed_form, cycles_of_many
from p2vit.accel.costs import MAC, Number, cost_of
from p2vit.accel.dataflow import ON_SCORES, LineCounts, Schedule, at_most, schedule
from p2vit.accel.machine import Machine
from p2vit.accel.memory import Misfit, pipelined
from p2vit.accel.timing import Timing
from p2vit.accel.workload import Workload

#: Mappings that are timed faster one by one than all at once.
FEW = 2


@dataclass(frozen=True)
class Mapping:
    """A workload laid out on a machine.

    Attributes:
        plan: The schedule.
        active_lines: Most lines of the MAC array that an operation uses.
        timing: Closed-form timing; None where nothing fits.
        misfits: Why it does not fit; empty where it does.
    """

    plan: Schedule
    active_lines: int
    timing: Timing | None
    misfits: tuple[Misfit, ...]


def map_workload(machine: Machine, workload: Workload) -> Mapping:
    """Lay a workload out in the way that makes it fastest.

    Args:
        machine: The machine.
        workload: What to run.

    Returns:
        The fastest mapping; of equally fast ones that with the most lines; where none fits, its misfits.
    """
    most = _mapped(machine, workload, None)
    # Without overlap more lines are always better; the lines of a load–store machine share the words of its memory.
    if most.timing is None or not pipelined(machine):
        return most
    rows, scores = _candidates(most.plan)
    bound = _array_cycles(machine, most.plan, LineCounts(rows, scores))
    # Nothing is faster than its own MACs: that bound spares nearly every further attempt.
    hopeful = bound < most.timing.cycles
    hopeful[0] = False
    if not hopeful.any():
        return most
    compared = LineCounts(rows[hopeful], scores[hopeful])
    if len(compared.rows) <= FEW:
        tried = [
            _mapped(machine, workload, LineCounts(int(own), int(on_scores)))
            for own, on_scores in zip(compared.rows, compared.scores, strict=True)
        ]
        return min([most, *tried], key=_cycles)
    cycles = cycles_of_many(machine, schedule(machine, workload, compared), len(compared.rows))
    best = int(np.argmin(cycles))
    if cycles[best] >= most.timing.cycles:
        return most
    return _mapped(machine, workload, LineCounts(int(compared.rows[best]), int(compared.scores[best])))


def _cycles(mapping: Mapping) -> int:
    assert mapping.timing is not None
    return mapping.timing.cycles


def _mapped(machine: Machine, workload: Workload, lines: LineCounts | None) -> Mapping:
    plan = schedule(machine, workload, lines)
    misfits = _by_cause([misfit for section in plan.sections for misfit in section.memory.misfits])
    used = max(cost.lines for section in plan.sections for cost in section.costs)
    return Mapping(plan, used, None if misfits else closed_form(machine, plan), misfits)


def _by_cause(misfits: Sequence[Misfit]) -> tuple[Misfit, ...]:
    """The worst of those that the same lever mends; it says how many more there are."""
    causes: dict[str, dict[str, Misfit]] = {}
    for misfit in misfits:
        lever = misfit.levers[0].split(" of at least ")[0]
        causes.setdefault(lever, {}).setdefault(misfit.operation, misfit)
    worst = []
    for alike in causes.values():
        most = max(alike.values(), key=lambda misfit: misfit.gap)
        more = f" (and {len(alike) - 1} more operations)" if len(alike) > 1 else ""
        worst.append(replace(most, statement=most.statement + more))
    return tuple(worst)


def _candidates(plan: Schedule) -> tuple[Number, Number]:
    """Every pair of lines that differs from the others in some operation's row groups; most lines first."""
    used = [
        (op.kind in ON_SCORES, op.rows, cost.lines)
        for section in {id(section): section for section in plan.sections}.values()
        for op, cost in zip(section.operations, section.costs, strict=True)
    ]
    numbers = []
    for on_scores in (False, True):
        sizes = {rows for kind, rows, _ in used if kind == on_scores} or {1}
        most = max((lines for kind, _, lines in used if kind == on_scores), default=1)
        lines = np.arange(min(most, max(sizes)), 0, -1)
        groups = np.array([-(-size // lines) for size in sorted(sizes)])
        # The fewest lines would do for the same groups; the most are kept.
        new = np.ones(len(lines), bool)
        new[1:] = (np.diff(groups, axis=1) != 0).any(axis=0)
        numbers.append(lines[new])
    rows, scores = np.meshgrid(*numbers, indexing="ij")
    return rows.ravel(), scores.ravel()


def _array_cycles(machine: Machine, plan: Schedule, lines: LineCounts) -> np.ndarray:
    """Cycles of the MAC array alone with each number of lines."""
    times = Counter(id(section) for section in plan.sections)
    total: Number = np.zeros(len(lines.rows))
    for name, section in {id(section): section for section in plan.sections}.items():
        for op, cost, limit in zip(section.operations, section.costs, section.memory.lines, strict=True):
            if cost.chunk == MAC:
                alone = cost_of(machine, op, 1, at_most(lines.of(op.kind), limit))
                total = total + times[name] * alone.occupied_cycles
    return np.asarray(total)
