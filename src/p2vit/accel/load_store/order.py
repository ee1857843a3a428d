"""Order of the jobs of a load–store machine. Each engine keeps its own order; this module merges the two.

The load engine serves loads in the order of the jobs, so it matters which engine's next job comes first. A job may
come as soon as earlier jobs write all that it reads. So rows flow between operations: the linear layer works on the
first group of a LayerNorm while the second group is normalised, softmax follows the scores, and tables and adds follow
tile by tile. The order is fixed before the run, from estimates, with the same rules as in the compiler of the
generated accelerator (`p2vit.hdl.compile.schedule`). The compiler tries every rule and keeps the fastest order.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from p2vit.accel.load_store.jobs import EngineJob, Region
from p2vit.accel.load_store.timeline import Engine

#: Rules that select between the next jobs of the two engines: program order, earliest loads, or earliest run.
RULES = ("program", "loads", "runs")

#: Number of the first operation of the job's section, and the job.
PlacedJob = tuple[int, EngineJob]
Key = tuple[int, int, int]


class WrittenRegions:
    """Records which regions are written, and when. Operations are numbered over the whole model.

    Args:
        jobs: All jobs that will write.
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
        """Record that a store has written a region at cycle ``time``."""
        self._stores[self._key(base, region)].append((region.first, region.end, time))

    def when(self, base: int, region: Region) -> int | None:
        """Return the cycle at which a region is written; None if a job that writes to it is still to come."""
        key = self._key(base, region)
        there = time = whole = 0
        for first, end, done in self._stores[key]:
            whole += end - first
            if (both := min(end, region.end) - max(first, region.first)) > 0:
                there += both
                time = max(time, done)
        return time if whole == self._expected[key] or there == region.end - region.first else None

    def all_of(self, base: int, job: EngineJob) -> int | None:
        """Return the cycle at which all regions that a job reads are written; None if a writer is still to come."""
        latest = 0
        for load in job.loads:
            for region in load.reads:
                time = self.when(base, region)
                if time is None:
                    return None
                latest = max(latest, time)
        return latest


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
