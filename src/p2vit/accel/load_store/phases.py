"""Phases of a load–store machine: one operation of the array with the vector operations that overlap with it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from p2vit.accel.load_store.steps import ARRAY_FORMS, Step
from p2vit.accel.load_store.totals import ChainStep, Number, Totals, stacked
from p2vit.accel.machine.description import Machine

LOAD_PORT, STORE_PORT = "load engine", "store engine"
#: Cycles between the last loaded word and the run: one to fill the slot and one to begin the load.
HAND_OVER = 2


@dataclass(frozen=True)
class PhaseShape:
    """Positions of the operations of a phase in their section.

    Attributes:
        leads: Vector operations before the core.
        core: Array operation; a vector operation if the phase has no array operation.
        follows: Vector operations after the core.
    """

    leads: tuple[int, ...]
    core: int
    follows: tuple[int, ...] = ()

    @property
    def operations(self) -> tuple[int, ...]:
        """Positions of all operations."""
        return (*self.leads, self.core, *self.follows)


@dataclass(frozen=True)
class Phase:
    """One operation of the array with its overlapping vector operations, or a vector operation by itself.

    Attributes:
        leads: Vector operations before the core.
        core: Array operation; a vector operation if the phase has no array operation.
        follows: Vector operations after the core.
    """

    leads: tuple[Totals, ...]
    core: Totals
    follows: tuple[Totals, ...]

    @classmethod
    def of(cls, shape: PhaseShape, totals: Callable[[int], Totals]) -> "Phase":
        """Make a phase from the sums of its operations."""
        return cls(tuple(map(totals, shape.leads)), totals(shape.core), tuple(map(totals, shape.follows)))

    @property
    def operations(self) -> tuple[Totals, ...]:
        """All operations."""
        return (*self.leads, self.core, *self.follows)

    def loads(self, before: "Phase | None") -> dict[str, Number]:
        """Sum the cycles of every engine and port from the core's first run on.

        Args:
            before: Previous phase; None at the start. If it gathers patches, which takes long, the core's first column
                tile follows group by group and only its last row group remains.
        """
        sums: dict[str, Number] = defaultdict(float)
        for op in self.operations:
            sums[f"{op.engine} engine"] += op.occupied
            sums[LOAD_PORT] += op.load
            sums[STORE_PORT] += op.store
        for op in (*self.leads, self.core):
            sums[LOAD_PORT] -= op.first.ahead + op.first.load
        for op in self.leads:
            sums[f"{op.engine} engine"] -= op.first.run
        if before and before.core.gathers and self.core.engine == "array":
            sums["array engine"] -= np.minimum(self.core.early, before.core.load)
        return sums


class PhaseChoices:
    """One phase with several tile sizes, to compare them all at once.

    Args:
        machine: Load–store machine.
        choices: Phase with each tile size.
    """

    def __init__(self, machine: Machine, choices: Sequence[Phase]) -> None:
        self.machine, self.count = machine, len(choices)
        self._earlier, self._own = _stacked(choices, (-1, 1)), _stacked(choices, (1, -1))
        self._cycles: dict[tuple[PhaseChoices | None, bool], Number] = {}

    def cycles(self, before: "PhaseChoices | None", first: bool) -> Number:
        """Compute the cycles from the end of the previous phase to the end of this one.

        Args:
            before: Previous phase; None at the start.
            first: Whether this is the first phase of its section.

        Returns:
            Cycles [tile sizes of the previous phase, tile sizes of this phase].
        """
        key = before, first
        if key not in self._cycles:
            earlier = before._earlier if before else None
            busiest = np.maximum.reduce(np.broadcast_arrays(*self._own.loads(earlier).values()))
            found = busiest + wait(self.machine, earlier, self._own, first)
            self._cycles[key] = np.broadcast_to(found, (before.count if before else 1, self.count))
        return self._cycles[key]

    def drain(self) -> Number:
        """Compute the cycles from the end of this phase, as the last one, to the end of the run: [tile sizes]."""
        return np.broadcast_to(drain(self.machine, self._own), (1, self.count))[0]


def _stacked(choices: Sequence[Phase], shape: tuple[int, ...]) -> Phase:
    """Put the numbers of several phases into arrays of one phase."""
    operations = [
        stacked(alike, shape) for alike in zip(*(choice.operations for choice in choices), strict=True)
    ]
    leads = len(choices[0].leads)
    return Phase(tuple(operations[:leads]), operations[leads], tuple(operations[leads + 1 :]))


def phase_shapes(machine: Machine, steps: Sequence[Step]) -> list[PhaseShape]:
    """Divide a section into phases: vector operations join the array operation that they follow or prepare."""
    if not machine.pipelining.inter_layer:
        return [PhaseShape((), index) for index in range(len(steps))]
    phases: list[PhaseShape] = []
    leads: list[int] = []
    for index, step in enumerate(steps):
        if step.form in ARRAY_FORMS:
            phases.append(PhaseShape(tuple(leads), index))
            leads = []
        elif phases and not leads and step.operation.kind in ("softmax", "lookup", "add", "tokens"):
            last = phases.pop()
            phases.append(PhaseShape(last.leads, last.core, (*last.follows, index)))
        elif step.form == "gather":
            # A gather occupies the load engine, so it is a phase of its own.
            phases.append(PhaseShape((), index))
        else:
            leads.append(index)
    return [*phases, *(PhaseShape((), index) for index in leads)]


def wait(machine: Machine, before: Phase | None, phase: Phase, first: bool) -> Number:
    """Compute the cycles between the last run of the previous phase and the first run of this phase.

    Args:
        machine: Load–store machine.
        before: Previous phase; None at the start.
        phase: This phase.
        first: Whether this is the first phase of its section; its source then has the number −1.
    """
    options = machine.load_store
    assert options is not None
    latency = machine.dram_latency_cycles + HAND_OVER
    firsts = [*(op.first for op in phase.leads), phase.core.first]
    if before is None:
        return chain(firsts, latency, 0.0, 0.0)[0]
    last = before.core
    # The loads of a run begin as soon as the run `slots` runs earlier has freed its slot.
    loading = -options.slots * last.last.run
    follows = [op.last for op in before.follows]
    if not machine.pipelining.inter_layer:
        return chain(firsts, latency, last.last.store, last.last.store)[0]
    if phase.leads:
        # The vector engine first finishes its earlier jobs, and the loads of its next jobs come first as well.
        lead = phase.leads[-1]
        more = np.minimum(options.slots, lead.runs - 1) * lead.load / lead.runs
        firsts[-1] = replace(firsts[-1], ahead=firsts[-1].ahead + more)
        begins = chain([*follows, *firsts], latency, loading, last.last.store)[0]
    elif phase.core.reads & ({-1} if first else {op.index for op in before.operations}):
        # The first complete rows were written some runs ago.
        begins = chain([*follows, *firsts], latency, loading, last.last.store - last.later * last.last.run)[0]
    else:  # k and v read the same rows as q
        begins = chain(firsts, latency, loading, loading)[0]
    return np.maximum(0.0, begins)


def drain(machine: Machine, last: Phase) -> Number:
    """Compute the cycles from the last run of the core of the last phase to the end of the run."""
    latency = machine.dram_latency_cycles + HAND_OVER
    return chain([op.last for op in last.follows], latency, 0.0, last.core.last.store)[1]


def chain(steps: Sequence[ChainStep], latency: float, loading: Number, data: Number) -> tuple[Number, Number]:
    """Time a chain of jobs.

    Args:
        steps: Jobs; each reads the results of the previous one.
        latency: Cycles from a read request to its answer.
        loading: Cycle at which the load engine is free.
        data: Cycle at which the operands of the first job are written.

    Returns:
        Cycle at which the last job's run begins, and cycle at which its results are written.
    """
    begins = data
    for step in steps:
        loading = np.maximum(loading + step.ahead, data) + step.load
        begins = loading + latency
        data = begins + step.run + step.store
    return begins, data
