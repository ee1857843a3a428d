"""Mapping of a workload: how many lines of the MAC array each operation uses.

More lines are not always faster: if one row group covers the whole image, nothing overlaps, and the scores of a row
    group must fit the accumulator buffer. Linear layers and attention have separate line counts, and all useful pairs
    are compared. If a buffer allows an operation fewer lines, the operation uses as many as fit. A larger machine has
    all mappings of a smaller one, and none of them is slower on it. So a larger machine is never slower.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from p2vit.accel.chunks.closed_form import cycles_of_many
from p2vit.accel.chunks.costs import MAC, Number, cost_of
from p2vit.accel.chunks.dataflow import ON_SCORES, LineCounts, at_most
from p2vit.accel.chunks.memory import Misfit, pipelined
from p2vit.accel.chunks.sections import Schedule
from p2vit.accel.machine.description import Machine
from p2vit.accel.organisation import closed_form, schedule
from p2vit.accel.timing import Timing
from p2vit.accel.workload.operations import Workload

#: Up to this many mappings are timed faster one by one than all at once.
FEW = 2


@dataclass(frozen=True)
class Mapping:
    """Fastest mapping of a workload on a machine.

    Attributes:
        plan: Schedule.
        active_lines: Largest number of lines of the MAC array that an operation uses.
        timing: Closed-form timing; None if the workload does not fit.
        misfits: Reasons why the workload does not fit; empty if it fits.
    """

    plan: Schedule
    active_lines: int
    timing: Timing | None
    misfits: tuple[Misfit, ...]


def map_workload(machine: Machine, workload: Workload) -> Mapping:
    """Find the fastest mapping of a workload.

    Args:
        machine: Machine that runs the workload.
        workload: Operations to run.

    Returns:
        Fastest mapping; of equally fast ones, the one with the most lines. If none fits, a mapping with the misfits.
    """
    most = _mapped(machine, workload, None)
    # Without overlap, more lines are always better. A load–store machine always uses all its lines.
    if most.timing is None or not pipelined(machine):
        return most
    rows, scores = _candidates(most.plan)
    bound = _array_cycles(machine, most.plan, LineCounts(rows, scores))
    # The cycles of the MACs alone are a lower bound; it excludes nearly all further candidates.
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
    """Keep the worst misfit for each lever, and add to its statement how many more operations it concerns."""
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
    """Return the pairs of line counts that give different row groups in some operation; most lines first."""
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
        # Of several line counts with the same row groups, the largest is kept.
        new = np.ones(len(lines), bool)
        new[1:] = (np.diff(groups, axis=1) != 0).any(axis=0)
        numbers.append(lines[new])
    rows, scores = np.meshgrid(*numbers, indexing="ij")
    return rows.ravel(), scores.ravel()


def _array_cycles(machine: Machine, plan: Schedule, lines: LineCounts) -> np.ndarray:
    """Compute the cycles of the MAC array alone for each pair of line counts."""
    times = Counter(id(section) for section in plan.sections)
    total: Number = np.zeros(len(lines.rows))
    for name, section in {id(section): section for section in plan.sections}.items():
        for op, cost, limit in zip(section.operations, section.costs, section.memory.lines, strict=True):
            if cost.chunk == MAC:
                alone = cost_of(machine, op, 1, at_most(lines.of(op.kind), limit))
                total = total + times[name] * alone.occupied_cycles
    return np.asarray(total)
