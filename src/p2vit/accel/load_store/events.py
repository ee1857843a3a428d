"""Event-driven timing of a load–store machine, with every load, run and store of every job.

`order` determines the order of the jobs, and `timeline` the timing of engines, buffers and memory ports. Whenever a
chunk waits, the simulation records the reason.
"""

from collections import defaultdict
from collections.abc import Sequence

from p2vit.accel.chunks.costs import CHUNKS, DRAM
from p2vit.accel.chunks.dataflow import Schedule, Section
from p2vit.accel.load_store.jobs import EngineJob
from p2vit.accel.load_store.order import RULES, WrittenRegions, ordered
from p2vit.accel.load_store.timeline import EngineTimeline
from p2vit.accel.machine.description import Machine
from p2vit.accel.timing import Tile, Timing

FILL = "pipeline: fill and drain of a run"
OTHER_WORK = "its engine: other work"


def simulate_jobs(machine: Machine, plan: Schedule) -> Timing:
    """Simulate a schedule in the order of each rule and return the fastest.

    Args:
        machine: Load–store machine that the schedule was made for.
        plan: Schedule without misfits.

    Returns:
        Timing with a tile for every run. Every stall has a reason, and busy and stalled cycles of each chunk add up to
        the run.
    """
    rules = RULES if machine.pipelining.inter_layer else RULES[:1]
    runs = [JobSimulation(machine, plan.sections, rule) for rule in rules]
    return min(runs, key=lambda run: run.cycles).timing()


class JobSimulation:
    """Simulation of the jobs of some sections, in the order of one rule.

    Args:
        machine: Load–store machine.
        sections: Sections in program order.
        rule: One of ``RULES``.

    Attributes:
        cycles: Cycles from the first load to the last result.
    """

    def __init__(self, machine: Machine, sections: Sequence[Section], rule: str) -> None:
        options = machine.load_store
        assert options is not None
        self.machine, self.sections, self.rule = machine, sections, rule
        self.run_cycles, self.slots = options.run_cycles, options.slots
        self.timeline = EngineTimeline(
            slots=options.slots,
            queue_depth=options.queue_depth,
            in_flight=options.loads_in_flight,
            latency=machine.dram_latency_cycles,
        )
        lines = machine.chunks.mac_array.lines
        # A word holds a byte of every line. A memory with less bandwidth takes several cycles per word.
        self.word_cycles = max(1.0, lines / machine.dram_bytes_per_cycle)
        self.last_store = 0
        self.current, self.before_it = 0, 0
        self.busy: dict[str, float] = defaultdict(float)
        self.stalls: dict[str, dict[str, float]] = {chunk: defaultdict(float) for chunk in CHUNKS}
        self.free = dict.fromkeys(CHUNKS, 0)
        self.last_write: dict[tuple[int, int], int] = {}
        self.tiles: list[Tile] = []
        self.bases = [0]
        for section in sections:
            self.bases.append(self.bases[-1] + len(section.operations))
        self._go()
        self.cycles = self.timeline.end(self.last_store)

    def _go(self) -> None:
        """Order all jobs and simulate them."""
        numbers = {base: number for number, base in enumerate(self.bases[:-1])}
        jobs = [
            (base, job)
            for base, section in zip(self.bases, self.sections, strict=False)
            for job in section.jobs
        ]
        self.written = WrittenRegions(jobs)
        for base, job in ordered(jobs, self.rule, self.slots, self._words):
            self._walk(numbers[base], job)

    def _words(self, words: int) -> int:
        return words if self.word_cycles == 1 else -int(-words * self.word_cycles // 1)

    def _walk(self, number: int, job: EngineJob) -> int:
        """Simulate the loads, the run and the store of a job; return the cycle in which its engine is free again."""
        timeline, base = self.timeline, self.bases[number]
        barrier = self._barrier(base + job.operation)
        for load in job.loads:
            after = 0
            for region in load.reads:
                when = self.written.when(base, region)
                assert when is not None, "a job reads what no job before it writes; a defect of the dataflow"
                after = max(after, when)
            after = max(after, barrier)
            words = self._words(load.words)
            self.busy[DRAM] += words
            timeline.load(
                words, load.buffer, opens=load.opens, closes=load.closes, gather=load.gather, after=after
            )
        cycles = job.cycles + self.run_cycles
        start, end = timeline.run(job.engine, cycles - 1, job.takes, job.releases, bool(job.store_words))
        self._book(number, job, start, end + 1)
        if job.writes:
            _, done = timeline.store(job.engine, self._words(job.store_words))
            self.written.write(base, job.writes, done)
            self.last_store = done
            self.last_write[number, job.operation] = done
        return end

    def _barrier(self, operation: int) -> int:
        """Return the cycle at which all earlier operations are written, if operations must not overlap; else 0."""
        if self.machine.pipelining.inter_layer:
            return 0
        if operation != self.current:
            self.current, self.before_it = operation, self.last_store
        return self.before_it

    def _book(self, number: int, job: EngineJob, start: int, end: int) -> None:
        """Record the work of the chunk and the reason of its wait."""
        chunk = self.sections[number].costs[job.operation].chunk
        stalls, waited = self.stalls[chunk], start - self.free[chunk]
        reason = (self.timeline.reason or OTHER_WORK) if waited else ""
        if waited:
            stalls[reason] += waited
        for why, cycles in job.slowed:
            stalls[why] += cycles
        if rest := job.overhead + self.run_cycles:
            stalls[FILL] += rest
        self.busy[chunk] += job.work
        self.free[chunk] = end
        self.tiles.append(Tile(chunk, number, job.operation, start, end, waited, reason))

    def timing(self) -> Timing:
        """Return the timing of the run."""
        for chunk in CHUNKS:
            if rest := self.cycles - self.free[chunk]:
                self.stalls[chunk]["finished: nothing left to do"] += rest
        return Timing(
            self.cycles,
            dict(self.busy),
            {chunk: dict(reasons) for chunk, reasons in self.stalls.items()},
            self.operation_cycles(),
            tiles=tuple(sorted(self.tiles, key=lambda tile: (tile.start, tile.chunk))),
        )

    def operation_cycles(self) -> tuple[tuple[float, ...], ...]:
        """Attribute the cycles up to the last store of each operation to it; 0 if an earlier operation ends later."""
        per_section, at = [], 0
        for number, section in enumerate(self.sections):
            own = [0.0] * len(section.operations)
            for index in range(len(own)):
                end = self.last_write[number, index]
                own[index] = float(max(0, end - at))
                at = max(at, end)
            per_section.append(own)
        per_section[-1][-1] += self.cycles - at
        return tuple(tuple(own) for own in per_section)
