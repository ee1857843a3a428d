"""Closed-form timing of a load–store machine: a sum over phases.

A phase is one operation of the array with the vector operations that overlap with it: LayerNorm before it, softmax,
table or add after it. A phase takes as long as its busiest engine or memory port. Before a phase, the array waits if
the loads of its first run are not hidden behind earlier runs, or if its operands are not written yet.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from p2vit.accel.chunks.costs import CHUNKS, DRAM, MAC
from p2vit.accel.chunks.sections import Schedule
from p2vit.accel.load_store.events import FILL
from p2vit.accel.load_store.jobs import EngineJob
from p2vit.accel.load_store.section import JobSection
from p2vit.accel.load_store.timeline import STORE_LATENCY
from p2vit.accel.machine.description import Machine
from p2vit.accel.timing import PhaseTime, Timing

LOAD_PORT, STORE_PORT = "load engine", "store engine"
#: Cycles between the last loaded word and the run: one to fill the slot and one to begin the load.
HAND_OVER = 2


@dataclass(frozen=True)
class _Step:
    """One job of a chain, in which each job reads the results of the previous one.

    Attributes:
        ahead: Cycles of the load engine for data that is available early: weights, constants, the residual stream.
        load: Cycles of the load engine from the first load that depends on the previous job.
        run: Cycles of the job's engine.
        store: Cycles from the end of the run until its results may be read.
    """

    ahead: float
    load: float
    run: int
    store: float


@dataclass(frozen=True)
class _Operation:
    """Sums over the jobs of one operation.

    Attributes:
        index: Position in its section.
        engine: Engine that runs the operation.
        chunk: Chunk of that engine.
        work: Cycles in which the engine takes numbers.
        slowed: Further cycles by reason.
        fill: Cycles of pipeline fill and drain.
        load: Cycles of the load engine.
        words: Cycles of ``load`` in which the memory port moves words.
        store: Cycles of the store engine.
        runs: Number of runs.
        first: First job.
        last: Last job.
        later: Number of runs after the run that completes the first rows.
        reads: Operations that the first run reads.
    """

    index: int
    engine: str
    chunk: str
    work: int
    slowed: dict[str, int]
    fill: int
    load: float
    words: float
    store: float
    runs: int
    first: _Step
    last: _Step
    later: int
    reads: frozenset[int]

    @property
    def occupied(self) -> int:
        """Engine cycles of the operation."""
        return self.work + self.fill + sum(self.slowed.values())


@dataclass(frozen=True)
class _Phase:
    """One operation of the array with its overlapping vector operations, or a vector operation by itself.

    Attributes:
        leads: Vector operations before the core.
        core: Array operation; a vector operation if the phase has no array operation.
        follows: Vector operations after the core.
    """

    leads: tuple[_Operation, ...]
    core: _Operation
    follows: tuple[_Operation, ...]

    @property
    def operations(self) -> tuple[_Operation, ...]:
        return (*self.leads, self.core, *self.follows)

    def loads(self) -> dict[str, float]:
        """Sum the cycles of every engine and port from the core's first run on."""
        sums: dict[str, float] = defaultdict(float)
        for op in self.operations:
            sums[f"{op.engine} engine"] += op.occupied
            sums[LOAD_PORT] += op.load
            sums[STORE_PORT] += op.store
        for op in (*self.leads, self.core):
            sums[LOAD_PORT] -= op.first.ahead + op.first.load
        for op in self.leads:
            sums[f"{op.engine} engine"] -= op.first.run
        return sums


def closed_form_of_jobs(machine: Machine, plan: Schedule[JobSection]) -> Timing:
    """Compute the cycles of a schedule.

    Args:
        machine: Load–store machine that the schedule was made for.
        plan: Schedule without misfits.

    Returns:
        Timing with every phase, without tiles.
    """
    known: dict[int, list[_Phase]] = {}
    phases: list[PhaseTime] = []
    busy: dict[str, float] = defaultdict(float)
    stalls: dict[str, dict[str, float]] = {chunk: defaultdict(float) for chunk in CHUNKS}
    per_operation = []
    latency = machine.dram_latency_cycles + HAND_OVER
    total = 0.0
    before: _Phase | None = None
    for number, section in enumerate(plan.sections):
        if id(section) not in known:
            known[id(section)] = _phases(machine, section)
        own = [0.0] * len(section.operations)
        for place, phase in enumerate(known[id(section)]):
            wait = _wait(machine, before, phase, place == 0)
            loads = phase.loads()
            limited_by = max(loads, key=lambda resource: loads[resource])
            cycles = loads[limited_by]
            phases.append(PhaseTime(number, place, cycles + wait, limited_by))
            own[phase.core.index] += cycles + wait
            total += cycles + wait
            for op in phase.operations:
                busy[op.chunk] += op.work
                busy[DRAM] += op.words
                stalls[op.chunk][FILL] += op.fill
                for reason, slow in op.slowed.items():
                    stalls[op.chunk][reason] += slow
            if phase.core.engine == "array":
                stalls[MAC]["load engine: first rows and weights"] += wait
                over = cycles - loads["array engine"]
                stalls[MAC][f"{limited_by}: slower than the array"] += over
            before = phase
        per_operation.append(own)
    assert before is not None
    whole = total + _chain([op.last for op in before.follows], latency, 0.0, before.core.last.store)[1]
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


def _phases(machine: Machine, section: JobSection) -> list[_Phase]:
    """Divide a section into phases: vector operations join the array operation that they follow or prepare."""
    operations = _operations(machine, section)
    if not machine.pipelining.inter_layer:
        return [_Phase((), op, ()) for op in operations]
    phases: list[_Phase] = []
    leads: list[_Operation] = []
    for op in operations:
        kind = section.operations[op.index].kind
        if op.engine == "array":
            phases.append(_Phase(tuple(leads), op, ()))
            leads = []
        elif phases and not leads and kind in ("softmax", "lookup", "add", "tokens"):
            last = phases.pop()
            phases.append(_Phase(last.leads, last.core, (*last.follows, op)))
        elif kind == "move" and any(load.gather for job in section.jobs for load in job.loads):
            # A gather occupies the load engine, so the loads of the array come after the whole gather.
            phases.append(_Phase((), op, ()))
        else:
            leads.append(op)
    return [*phases, *(_Phase((), op, ()) for op in leads)]


def _operations(machine: Machine, section: JobSection) -> list[_Operation]:
    options = machine.load_store
    assert options is not None
    by_operation: list[list[EngineJob]] = [[] for _ in section.operations]
    for job in section.jobs:
        by_operation[job.operation].append(job)
    word = max(1.0, machine.chunks.mac_array.lines / machine.dram_bytes_per_cycle)
    found = []
    for index, jobs in enumerate(by_operation):
        slowed: dict[str, int] = defaultdict(int)
        for job in jobs:
            for reason, cycles in job.slowed:
                slowed[reason] += cycles
        # Every load takes a whole number of cycles.
        words = float(sum(-int(-load.words * word // 1) for job in jobs for load in job.loads))
        stores = [job.store_words for job in jobs if job.store_words]
        found.append(
            _Operation(
                index=index,
                engine=jobs[0].engine,
                chunk=section.costs[index].chunk,
                work=sum(job.work for job in jobs),
                slowed=dict(slowed),
                fill=sum(job.overhead + options.run_cycles for job in jobs),
                load=words + sum(len(job.loads) for job in jobs),
                words=words,
                store=word * sum(stores) + len(stores),
                runs=len(jobs),
                first=_step(jobs[0], word, options.run_cycles),
                last=_step(jobs[-1], word, options.run_cycles),
                later=_later_runs(section, index, jobs),
                reads=frozenset(region.operation for load in jobs[0].loads for region in load.reads),
            )
        )
    return found


def _step(job: EngineJob, word: float, run_cycles: int) -> _Step:
    """Make the chain step of a job; loads before the last dependent one are available early."""
    last = max((at for at, load in enumerate(job.loads) if load.reads), default=0)
    while last and job.loads[last - 1].reads == job.loads[last].reads:
        last -= 1
    cycles = [word * load.words + 1 for load in job.loads]
    return _Step(
        sum(cycles[:last]),
        sum(cycles[last:]),
        job.cycles + run_cycles,
        word * job.store_words + STORE_LATENCY,
    )


def _later_runs(section: JobSection, index: int, jobs: Sequence[EngineJob]) -> int:
    """Count the runs of an operation after the run that completes its first rows."""
    heads = section.operations[index].heads
    if section.operations[index].kind in ("scores", "softmax"):
        return len(jobs) - len(jobs) // heads // section.memory.passes[index]
    first = next((job.writes.group for job in jobs if job.writes), 0)
    whole = max(at for at, job in enumerate(jobs) if job.writes and job.writes.group == first)
    return len(jobs) - 1 - whole


def _wait(machine: Machine, before: _Phase | None, phase: _Phase, first: bool) -> float:
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
        return _chain(firsts, latency, 0.0, 0.0)[0]
    last = before.core
    # The loads of a run begin as soon as the run `slots` runs earlier has freed its slot.
    loading = -options.slots * last.last.run
    follows = [op.last for op in before.follows]
    if not machine.pipelining.inter_layer:
        return _chain(firsts, latency, last.last.store, last.last.store)[0]
    if phase.leads:
        # The vector engine first finishes its earlier jobs, and the loads of its next jobs come first as well.
        lead = phase.leads[-1]
        more = min(options.slots, lead.runs - 1) * lead.load / lead.runs
        firsts[-1] = replace(firsts[-1], ahead=firsts[-1].ahead + more)
        begins = _chain([*follows, *firsts], latency, loading, last.last.store)[0]
    elif phase.core.reads & ({-1} if first else {op.index for op in before.operations}):
        # The first complete rows were written some runs ago.
        begins = _chain([*follows, *firsts], latency, loading, last.last.store - last.later * last.last.run)[
            0
        ]
    else:  # k and v read the same rows as q
        begins = _chain(firsts, latency, loading, loading)[0]
    return max(0.0, begins)


def _chain(steps: Sequence[_Step], latency: float, loading: float, data: float) -> tuple[float, float]:
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
        loading = max(loading + step.ahead, data) + step.load
        begins = loading + latency
        data = begins + step.run + step.store
    return begins, data
