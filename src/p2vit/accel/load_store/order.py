"""Order of the jobs of a load–store machine. Each engine keeps its own order; this module merges the two.

The load engine serves loads in the order of the jobs, so it matters which engine's next job comes first. A job may
come as soon as earlier jobs write all that it reads. So rows flow between operations: the linear layer works on the
first group of a LayerNorm while the second group is normalised, softmax follows the scores, and tables and adds follow
tile by tile. The order is fixed before the run, from estimates. `times.fastest` tries every rule and keeps the order
that takes the fewest cycles; the simulation and the compiler of the generated accelerator both use it.

The actions of the jobs in an order are its loads, runs and stores. What an action carries is up to its user
(`Payload`): the simulation times it, and the compiler makes a descriptor of it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from p2vit.accel.load_store.jobs import EngineJob, Load, PlacedJob, Region
from p2vit.accel.load_store.timeline import Engine

#: Rules that select between the next jobs of the two engines: program order, earliest loads, earliest run, or the loads
#: of the array one slot ahead of its runs. The last one lets rows wait in a slot while a softmax waits for its scores.
RULES = ("program", "loads", "runs", "ahead")

Key = tuple[int, int, int]
Action = TypeVar("Action", covariant=True)


class WrittenRegions:
    """Records which store wrote which region. Stores count from 1; operations count over the whole model.

    Args:
        jobs: All jobs that will write.

    Attributes:
        stores: Number of stores so far.
    """

    def __init__(self, jobs: Iterable[PlacedJob]) -> None:
        self.stores = 0
        self._stores: dict[Key, list[tuple[int, int, int]]] = defaultdict(list)
        self._missing: dict[Key, int] = defaultdict(int)
        for base, job in jobs:
            if job.writes:
                self._missing[self._key(base, job.writes)] += job.writes.columns

    @staticmethod
    def _key(base: int, region: Region) -> Key:
        return base + region.operation, region.head, region.group

    def write(self, base: int, region: Region) -> None:
        """Record that the next store writes a region."""
        self.stores += 1
        key = self._key(base, region)
        self._missing[key] -= region.columns
        self._stores[key].append((region.first, region.end, self.stores))

    def after(self, base: int, regions: Iterable[Region]) -> int | None:
        """Return the last store that writes to some regions, 0 without any; None if such a store is still to come."""
        latest = 0
        for region in regions:
            key = self._key(base, region)
            there = 0
            for first, end, store in self._stores[key]:
                if (both := min(end, region.end) - max(first, region.first)) > 0:
                    there += both
                    latest = max(latest, store)
            if self._missing[key] and there != region.columns:
                return None
        return latest


class Payload(Protocol[Action]):
    """What the actions of a job carry. ``operation`` counts over the whole model."""

    def load(self, operation: int, job: EngineJob, load: Load, after: int) -> Action:
        """Make the action of a load, which begins when the first ``after`` stores are done."""

    def run(self, operation: int, job: EngineJob) -> Action:
        """Make the action of a run."""

    def store(self, operation: int, job: EngineJob) -> Action:
        """Make the action of a store."""


def actions(order: Sequence[PlacedJob], payload: Payload[Action]) -> Iterator[Action]:
    """Yield the actions of jobs: for each job its loads, its run, and its store if it has one.

    Args:
        order: Jobs in an order in which each job comes after those that it reads.
        payload: Makes the actions.
    """
    written = WrittenRegions(order)
    for base, job in order:
        operation = base + job.operation
        for load in job.loads:
            after = written.after(base, load.reads)
            assert after is not None, (
                "a job reads what no job before it writes; this is a defect of the schedule"
            )
            yield payload.load(operation, job, load, after)
        yield payload.run(operation, job)
        if job.writes:
            written.write(base, job.writes)
            yield payload.store(operation, job)


def ordered(jobs: Sequence[PlacedJob], rule: str, slots: int, words: Callable[[int], int]) -> list[PlacedJob]:
    """Merge the job orders of the two engines.

    Args:
        jobs: Jobs in program order.
        rule: One of ``RULES``.
        slots: Slots of every buffer.
        words: Converts a number of words to cycles of the memory port.

    Returns:
        Same jobs in the merged order. Jobs of one engine keep their order, and each job comes after those that it
        reads.
    """
    if rule == "program":
        return list(jobs)
    queues: dict[Engine, list[PlacedJob]] = {
        engine: [placed for placed in jobs if placed[1].engine == engine] for engine in ("vector", "array")
    }
    heads: dict[Engine, int] = dict.fromkeys(queues, 0)
    ends: dict[Engine, list[int]] = {engine: [0] * slots for engine in queues}
    written = WrittenRegions(jobs)
    # Cycle at which each store is done, by its number; what no store writes is there from the start.
    stored = [0]
    loading = 0
    order: list[PlacedJob] = []
    while len(order) < len(jobs):
        begins: dict[Engine, int] = {}
        for engine, queue in queues.items():
            if heads[engine] < len(queue):
                base, job = queue[heads[engine]]
                after = written.after(base, (region for load in job.loads for region in load.reads))
                if after is not None:
                    ahead = rule == "loads" or (rule == "ahead" and engine == "array")
                    room = ends[engine][-slots if ahead else -1]
                    begins[engine] = max(stored[after], room, loading if rule == "loads" else 0)
        assert begins, "jobs depend on each other in a circle; this is a defect of the schedule"
        engine = min(begins, key=lambda key: begins[key])
        base, job = queues[engine][heads[engine]]
        heads[engine] += 1
        loading = max(loading, begins[engine]) + sum(words(load.words) for load in job.loads)
        ends[engine].append(max(ends[engine][-1], loading) + job.cycles)
        if job.writes:
            written.write(base, job.writes)
            stored.append(max(stored[-1], ends[engine][-1]) + words(job.store_words))
        order.append((base, job))
    return order
