"""Order of the jobs in the descriptor stream. Each engine keeps its own order; this module merges the two.

In program order, one engine would wait while the other works through a layer. A job may come earlier, as soon as
earlier jobs in the stream write all that it reads. So rows flow between layers: the linear layer works on the first
group of a LayerNorm while the second group is normalised, softmax follows the scores group by group, and tables and
adds follow tile by tile. Two rules select between two jobs that could come next, both from estimates. The compiler
tries both rules and program order, and keeps the order that the exact timing model finds fastest.
"""

from collections import defaultdict

from p2vit.hdl.compile.emitter import DescriptorJob, Region
from p2vit.hdl.timing import array_cycles, vector_cycles
from p2vit.hdl.top.descriptor import Descriptor, Kind
from p2vit.hdl.top.machine import SLOTS


class WrittenRegions:
    """Records which regions have been written, and by which store."""

    def __init__(self) -> None:
        self._stores: dict[tuple[str, int, int], list[tuple[int, int, int]]] = defaultdict(list)
        self._expected: dict[tuple[str, int, int], int] = defaultdict(int)
        self._seen: dict[tuple[str, int, int], int] = defaultdict(int)

    def expect(self, region: Region) -> None:
        """Announce a store into a region."""
        self._expected[region.tensor, region.head, region.group] += region.end - region.first

    def write(self, region: Region, store: int) -> None:
        """Record that the store of that number, counted from 1, writes a region."""
        key = region.tensor, region.head, region.group
        self._stores[key].append((region.first, region.end, store))
        self._seen[key] += region.end - region.first

    def after(self, region: Region) -> int | None:
        """Return the number of the last store that writes to a region; None while the region is incomplete."""
        key = region.tensor, region.head, region.group
        if self._seen[key] < self._expected[key]:
            end = min(region.end, max((e for _, e, _ in self._stores[key]), default=0))
            needed = region.end - region.first
            there = sum(max(0, min(e, end) - max(f, region.first)) for f, e, _ in self._stores[key])
            if there < needed:
                return None
        return max((s for f, e, s in self._stores[key] if f < region.end and e > region.first), default=0)


#: Rules that select between two jobs that could come next: earliest loads, or earliest run.
RULES = ("loads", "runs")


def merged(jobs: list[DescriptorJob], lines: int, rule: str) -> list[DescriptorJob]:
    """Merge the job orders of the two engines.

    Args:
        jobs: Jobs in program order.
        lines: Lines of the machine, to estimate the duration of a LayerNorm.
        rule: One of ``RULES``.

    Returns:
        Same jobs in the merged order. Jobs of one engine keep their order, and each job comes after those that it
        reads.
    """
    queues = {kind: [u for u in jobs if u.engine == kind] for kind in (Kind.VECTOR, Kind.ARRAY)}
    heads = dict.fromkeys(queues, 0)
    ends = {kind: [0, 0] for kind in queues}
    loading = storing = 0
    written = WrittenRegions()
    ready = {0: 0}
    for job in jobs:
        if job.writes:
            written.expect(job.writes)
    order: list[DescriptorJob] = []
    stores = 0
    while len(order) < len(jobs):
        begins: dict[Kind, int] = {}
        for kind, queue in queues.items():
            if heads[kind] < len(queue):
                needs = [
                    written.after(region) for _, regions in queue[heads[kind]].loads for region in regions
                ]
                if None not in needs:
                    data = max((ready[need] for need in needs if need is not None), default=0)
                    begins[kind] = (
                        max(loading, data, ends[kind][-SLOTS])
                        if rule == "loads"
                        else max(data, ends[kind][-1])
                    )
        assert begins, "jobs depend on each other in a circle"
        kind = min(begins, key=lambda key: begins[key])
        job = queues[kind][heads[kind]]
        heads[kind] += 1
        loading = max(loading, begins[kind]) + sum(load_words(values) for values, _ in job.loads)
        ends[kind].append(max(ends[kind][-1], loading) + duration(job, lines))
        if job.writes and job.store:
            stores += 1
            written.write(job.writes, stores)
            storing = max(storing, ends[kind][-1]) + job.store["columns"] * job.store["planes"]
            ready[stores] = storing
        order.append(job)
    return order


def load_words(values: dict[str, int]) -> int:
    """Return the number of memory requests of a load."""
    each = values["line_end"] - values["line_first"] if values.get("gather") else 1
    return values["inner"] * values["outer"] * each


def duration(job: DescriptorJob, lines: int) -> int:
    """Return the engine cycles of a run."""
    run = Descriptor(job.engine, job.run)
    return array_cycles(run) if job.engine == Kind.ARRAY else vector_cycles(run, lines)


def descriptors(jobs: list[DescriptorJob]) -> list[Descriptor]:
    """Make the descriptor stream. Each load gets the number of stores that it waits for; END is last."""
    written = WrittenRegions()
    out: list[Descriptor] = []
    stores = 0
    for job in jobs:
        for values, regions in job.loads:
            waits = [written.after(region) for region in regions]
            assert None not in waits, f"{job.node}: reads what no job before it writes"
            after = max((wait for wait in waits if wait), default=0)
            out.append(Descriptor(Kind.LOAD, {**values, "after": after}, job.node))
        out.append(Descriptor(job.engine, job.run, job.node))
        if job.store and job.writes:
            stores += 1
            written.write(job.writes, stores)
            out.append(Descriptor(Kind.STORE, job.store, job.node))
    out.append(Descriptor(Kind.END, {"after": stores}))
    return out
