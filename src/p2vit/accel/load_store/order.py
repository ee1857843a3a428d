"""The order of jobs in the stream of a load–store machine: the array and the vector engine each keep their own.

Loads are served in the order of the stream, so it matters which of the two engines' next jobs comes first. A job
may come as soon as all that it reads is written by jobs before it, so rows flow: LayerNorm's first group is in
the linear while the second is normalised, softmax follows the scores, a table or an add the tile that it takes.
The order is made before the machine runs, by estimates, as the compiler of the generated accelerator makes it
(`p2vit.rtl.compile.schedule`); that tries every rule and keeps the fastest order.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from p2vit.accel.load_store.jobs import EngineJob, Region
from p2vit.accel.load_store.timeline import Engine

#: What comes first of the two engines' next jobs: program order, whose loads could begin first, whose run could.
RULES = ("program", "loads", "runs")

#: A job and the number of the first operation of its section.
PlacedJob = tuple[int, EngineJob]
Key = tuple[int, int, int]


class WrittenRegions:
    """Which columns of which groups are written, and when; operations are numbered over the whole model.

    Args:
        jobs: All that will be written.
    """

    def __init__(self, jobs: Sequence[PlacedJob]) -> None:
        self._stores: dict[Key, list[tuple[int, int, int]]] = defaultdict(list)
        self._expected: dict[Key, int] = defaultdict(int)
        for base, job in jobs:
            if job.writes:
                self._expected[self._key(base, job.writes)] += job.writes.end - job.writes.first

    @staticmethod
    def _key(base: int, region: Region) -> Key:
        return base + region.operation, region.head, region.group

    def write(self, base: int, region: Region, time: int) -> None:
        """A store is done."""
        self._stores[self._key(base, region)].append((region.first, region.end, time))

    def when(self, base: int, region: Region) -> int | None:
        """The time at which a region is written; None while a job that writes it is still to come."""
        key = self._key(base, region)
        there = time = whole = 0
        for first, end, done in self._stores[key]:
            whole += end - first
            if (both := min(end, region.end) - max(first, region.first)) > 0:
                there += both
                time = max(time, done)
        return time if whole == self._expected[key] or there == region.end - region.first else None

    def all_of(self, base: int, job: EngineJob) -> int | None:
        """The time at which all is written that a job reads."""
        latest = 0
        for load in job.loads:
            for region in load.reads:
                time = self.when(base, region)
                if time is None:
                    return None
                latest = max(latest, time)
        return latest


def ordered(jobs: Sequence[PlacedJob], rule: str, slots: int, words: Callable[[int], int]) -> list[PlacedJob]:
    """Merge the engines' orders.

    Args:
        jobs: In program order.
        rule: One of ``RULES``.
        slots: Of every buffer.
        words: Cycles of the memory's port for a number of words.

    Returns:
        The same jobs; those of one engine in their order; each after all that it reads.
    """
    if rule == "program":
        return list(jobs)
    queues: dict[Engine, list[PlacedJob]] = {
        engine: [placed for placed in jobs if placed[1].engine == engine] for engine in ("vector", "array")
    }
    heads: dict[Engine, int] = dict.fromkeys(queues, 0)
    ends: dict[Engine, list[int]] = {engine: [0] * slots for engine in queues}
    written = WrittenRegions(jobs)
    loading = storing = 0
    order: list[PlacedJob] = []
    while len(order) < len(jobs):
        begins: dict[Engine, int] = {}
        for engine, queue in queues.items():
            if heads[engine] < len(queue):
                data = written.all_of(*queue[heads[engine]])
                if data is not None:
                    room = max(loading, ends[engine][-slots]) if rule == "loads" else ends[engine][-1]
                    begins[engine] = max(data, room)
        assert begins, "jobs depend on each other in a circle; this is a defect of the dataflow"
        engine = min(begins, key=lambda key: begins[key])
        base, job = queues[engine][heads[engine]]
        heads[engine] += 1
        loading = max(loading, begins[engine]) + sum(words(load.words) for load in job.loads)
        ends[engine].append(max(ends[engine][-1], loading) + job.cycles)
        if job.writes:
            storing = max(storing, ends[engine][-1]) + words(job.store_words)
            written.write(base, job.writes, storing)
        order.append((base, job))
    return order
