"""Event-driven timing of a load–store machine, with every load, run and store of every job.

`times` determines the order of the jobs and the time of their actions. This module adds up what each chunk does.
Whenever a chunk waits, it records the reason.
"""

from collections import defaultdict
from itertools import islice

from p2vit.accel.chunks.costs import CHUNKS, DRAM
from p2vit.accel.chunks.sections import Schedule
from p2vit.accel.load_store.jobs import PlacedJob
from p2vit.accel.load_store.section import JobSection
from p2vit.accel.load_store.times import TimedOrder, WordCycles, cycles_of_operations, fastest
from p2vit.accel.machine.description import Machine
from p2vit.accel.timing import Tile, Timing

FILL = "pipeline: fill and drain of a run"
OTHER_WORK = "its engine: other work"


def simulate_jobs(machine: Machine, plan: Schedule[JobSection]) -> Timing:
    """Simulate a schedule in the order of each rule and return the fastest.

    Args:
        machine: Load–store machine that the schedule was made for.
        plan: Schedule without misfits.

    Returns:
        Timing with a tile for every run. Every stall has a reason, and busy and stalled cycles of each chunk add up to
        the run.
    """
    return timing_of(machine, plan, fastest(machine, jobs_of(plan)))


def jobs_of(plan: Schedule[JobSection]) -> list[PlacedJob]:
    """Return the jobs of all sections in program order, each with the number of its section's first operation."""
    jobs, base = [], 0
    for section in plan.sections:
        jobs += [(base, job) for job in section.jobs]
        base += len(section.operations)
    return jobs


def timing_of(machine: Machine, plan: Schedule[JobSection], order: TimedOrder) -> Timing:
    """Add up the work and the waits of every chunk.

    Args:
        machine: Load–store machine that ran the jobs.
        plan: Schedule of the same operations.
        order: Jobs with the time of each of their actions.
    """
    options = machine.load_store
    assert options is not None
    places = [
        (number, index) for number, section in enumerate(plan.sections) for index in range(len(section.costs))
    ]
    words = WordCycles(machine)
    busy: dict[str, float] = defaultdict(float)
    stalls: dict[str, dict[str, float]] = {chunk: defaultdict(float) for chunk in CHUNKS}
    free = dict.fromkeys(CHUNKS, 0)
    last_store = [0] * len(places)
    tiles = []
    spans = iter(order.spans)
    for _, job in order.jobs:
        for load in job.loads:
            next(spans)
            busy[DRAM] += words(load.words)
        run = next(spans)
        number, index = places[run.operation]
        chunk = plan.sections[number].costs[index].chunk
        waited, end = run.start - free[chunk], run.end + 1
        reason = (run.reason or OTHER_WORK) if waited else ""
        if waited:
            stalls[chunk][reason] += waited
        for why, cycles in job.slowed:
            stalls[chunk][why] += cycles
        if rest := job.overhead + options.run_cycles:
            stalls[chunk][FILL] += rest
        busy[chunk] += job.work
        free[chunk] = end
        tiles.append(Tile(chunk, number, index, run.start, end, waited, reason))
        if job.writes:
            last_store[run.operation] = next(spans).end + 1
    for chunk in CHUNKS:
        if rest := order.cycles - free[chunk]:
            stalls[chunk]["finished: nothing left to do"] += rest
    own = iter(map(float, cycles_of_operations(last_store)))
    operation_cycles = [list(islice(own, len(section.operations))) for section in plan.sections]
    operation_cycles[-1][-1] += order.cycles - max(last_store)
    return Timing(
        order.cycles,
        dict(busy),
        {chunk: dict(reasons) for chunk, reasons in stalls.items()},
        tuple(map(tuple, operation_cycles)),
        tiles=tuple(sorted(tiles, key=lambda tile: (tile.start, tile.chunk))),
    )
