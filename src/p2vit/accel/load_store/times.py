"""Times of the actions of a load–store machine: start and end of every load, run and store, in a given order."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from p2vit.accel.load_store.jobs import EngineJob, Load, PlacedJob
from p2vit.accel.load_store.order import RULES, actions, ordered
from p2vit.accel.load_store.timeline import EngineTimeline, Queue
from p2vit.accel.machine.description import Machine


class Span(NamedTuple):
    """Time of one action on its engine.

    Attributes:
        operation: Number of the operation in the whole model.
        queue: Queue of the action.
        start: Cycle in which the engine takes the action.
        end: Last cycle. For a load, the last word is then in the buffer; for a store, in the memory.
        reason: Reason why a run began so late; empty if its engine was busy until then.
    """

    operation: int
    queue: Queue
    start: int
    end: int
    reason: str = ""


class Times:
    """Times the actions of jobs, in one pass. It is a `Payload` of `order.actions`.

    Args:
        machine: Load–store machine.
        latency: Cycles from a read request to its answer; None uses the machine's.

    Attributes:
        stores: Cycle at which each store counts as done, by its number; 0 for store 0, which is none.
    """

    def __init__(self, machine: Machine, latency: int | None = None) -> None:
        options = machine.load_store
        assert options is not None
        self._timeline = EngineTimeline(
            slots=options.slots,
            queue_depth=options.queue_depth,
            in_flight=options.loads_in_flight,
            latency=machine.dram_latency_cycles if latency is None else latency,
        )
        self._words = WordCycles(machine)
        self._between_runs = options.run_cycles - 1
        self._overlap = machine.pipelining.inter_layer
        self._current = self._barrier = 0
        self.stores = [0]

    def load(self, operation: int, job: EngineJob, load: Load, after: int) -> Span:
        """Time a load."""
        if not self._overlap and operation != self._current:
            # Operations must not overlap: everything waits for the last store of the operation before.
            self._current, self._barrier = operation, self.stores[-1]
        start, end = self._timeline.load(
            self._words(load.words),
            load.buffer,
            opens=load.opens,
            closes=load.closes,
            gather=load.gather,
            after=max(self.stores[after], self._barrier),
        )
        return Span(operation, "load", start, end)

    def run(self, operation: int, job: EngineJob) -> Span:
        """Time a run."""
        start, end = self._timeline.run(
            job.engine,
            job.cycles + self._between_runs,
            job.takes,
            job.releases,
            bool(job.store_words),
        )
        return Span(operation, job.engine, start, end, self._timeline.reason)

    def store(self, operation: int, job: EngineJob) -> Span:
        """Time a store."""
        start, done = self._timeline.store(job.engine, self._words(job.store_words))
        self.stores.append(done)
        return Span(operation, "store", start, done - 1)

    def end(self) -> int:
        """Return the number of cycles until all work is done."""
        return self._timeline.end(self.stores[-1])


class WordCycles:
    """Converts a number of words to cycles of the memory port: one per word, more if the memory has less bandwidth."""

    def __init__(self, machine: Machine) -> None:
        # A word holds a byte of every line.
        self.each = max(1.0, machine.chunks.mac_array.lines / machine.dram_bytes_per_cycle)

    def __call__(self, words: int) -> int:
        """Return the cycles of some words."""
        return words if self.each == 1 else -int(-words * self.each // 1)


def cycles_of_operations(ends: Iterable[int]) -> list[int]:
    """Attribute the cycles of a run to operations: to each one those from the end of the previous one to its own end.

    Args:
        ends: Cycle of the last store of each operation.

    Returns:
        Cycles of each operation; 0 if an earlier operation ends later.
    """
    own, before = [], 0
    for end in ends:
        own.append(max(0, end - before))
        before = max(before, end)
    return own


class TimedOrder(NamedTuple):
    """Jobs in an order, with the time of each of their actions.

    Attributes:
        jobs: Jobs in order.
        spans: Times of their actions, in the order of `order.actions`.
        cycles: Cycles from the first load until all work is done.
        stores: Cycle at which each store counts as done, in order.
    """

    jobs: list[PlacedJob]
    spans: list[Span]
    cycles: int
    stores: list[int]


def timed(machine: Machine, jobs: list[PlacedJob], latency: int | None = None) -> TimedOrder:
    """Time jobs in the order in which they are given.

    Args:
        machine: Load–store machine.
        jobs: Jobs in an order in which each job comes after those that it reads.
        latency: Cycles from a read request to its answer; None uses the machine's.
    """
    times = Times(machine, latency)
    spans = list(actions(jobs, times))
    return TimedOrder(jobs, spans, times.end(), times.stores[1:])


def fastest(machine: Machine, jobs: Sequence[PlacedJob]) -> TimedOrder:
    """Order jobs by each rule and return the order that takes the fewest cycles; of equal ones, the first.

    Args:
        machine: Load–store machine. If its operations must not overlap, the jobs stay in program order.
        jobs: Jobs in program order.
    """
    options = machine.load_store
    assert options is not None
    words = WordCycles(machine)
    rules = RULES if machine.pipelining.inter_layer else RULES[:1]
    orders = (timed(machine, ordered(jobs, rule, options.slots, words)) for rule in rules)
    return min(orders, key=lambda order: order.cycles)
