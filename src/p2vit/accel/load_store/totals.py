"""Words and cycles of one operation of a load–store machine, summed over its jobs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from p2vit.accel.load_store.jobs import EngineJob
from p2vit.accel.load_store.loops import JobLoop
from p2vit.accel.load_store.timeline import STORE_LATENCY
from p2vit.accel.machine.description import Machine

#: One number, or one number for each of several tile sizes.
Number = Any
Record = TypeVar("Record")


@dataclass(frozen=True)
class ChainStep:
    """One job of a chain, in which each job reads the results of the previous one.

    Attributes:
        ahead: Cycles of the load engine for data that is available early: weights, constants, the residual stream.
        load: Cycles of the load engine from the first load that depends on the previous job.
        run: Cycles of the job's engine.
        store: Cycles from the end of the run until its results may be read.
    """

    ahead: Number
    load: Number
    run: Number
    store: Number


@dataclass(frozen=True)
class Totals:
    """Sums over the jobs of one operation.

    Attributes:
        index: Position in its section.
        engine: Engine that runs the operation.
        work: Cycles in which the engine takes numbers.
        slowed: Further cycles by reason.
        fill: Cycles of pipeline fill and drain.
        occupied: Cycles of the engine: work, further cycles, fill and drain.
        load: Cycles of the load engine.
        words: Cycles of ``load`` in which the memory port moves words.
        store: Cycles of the store engine.
        runs: Number of runs.
        first: First job.
        last: Last job.
        later: Number of runs after the run that completes the first rows.
        early: Engine cycles of the first column tile, except its last row group.
        gathers: Whether its loads gather single bytes.
        fetched_words: Words of weights, constants and pixels that are loaded.
        spilled_words: Words of tensors that are loaded or stored.
        reads: Operations that the first run reads.
    """

    index: int
    engine: str
    work: Number
    slowed: dict[str, int]
    fill: Number
    occupied: Number
    load: Number
    words: Number
    store: Number
    runs: Number
    first: ChainStep
    last: ChainStep
    later: Number
    early: Number
    gathers: bool
    fetched_words: Number
    spilled_words: Number
    reads: frozenset[int]


def totals_of(machine: Machine, index: int, loop: JobLoop) -> Totals:
    """Sum up the jobs of one operation.

    Args:
        machine: Load–store machine.
        index: Position of the operation in its section.
        loop: Jobs of the operation.
    """
    options = machine.load_store
    assert options is not None
    word = max(1.0, machine.chunks.mac_array.lines / machine.dram_bytes_per_cycle)
    slowed: dict[str, int] = defaultdict(int)
    work = overhead = loads = fetched = spilled = stores = stored = words = 0
    for job, count in loop.kinds:
        work += count * job.work
        overhead += count * job.overhead
        loads += count * len(job.loads)
        for reason, cycles in job.slowed:
            slowed[reason] += count * cycles
        for load in job.loads:
            # Every load takes a whole number of cycles.
            words += count * -int(-load.words * word // 1)
            if load.reads:
                spilled += count * load.words
            else:
                fetched += count * load.words
        if job.store_words:
            stores += count
            stored += count * job.store_words
    fill = overhead + loop.runs * options.run_cycles
    first, last = loop.first, loop.last
    return Totals(
        index=index,
        engine=first.engine,
        work=work,
        slowed=dict(slowed),
        fill=fill,
        occupied=work + fill + sum(slowed.values()),
        load=float(words + loads),
        words=float(words),
        store=word * stored + stores,
        runs=loop.runs,
        first=_step(first, word, options.run_cycles),
        last=_step(last, word, options.run_cycles),
        later=loop.later,
        # The runs of a tile are equally long, because its row groups share the same columns.
        early=(first.cycles + options.run_cycles) * (len(loop.groups) - 1),
        gathers=any(load.gather for load in first.loads),
        fetched_words=fetched,
        spilled_words=spilled + stored,
        reads=frozenset(region.operation for load in first.loads for region in load.reads),
    )


def _step(job: EngineJob, word: float, run_cycles: int) -> ChainStep:
    """Make the chain step of a job; loads before the last dependent one are available early."""
    last = max((at for at, load in enumerate(job.loads) if load.reads), default=0)
    while last and job.loads[last - 1].reads == job.loads[last].reads:
        last -= 1
    cycles = [word * load.words + 1 for load in job.loads]
    return ChainStep(
        sum(cycles[:last]),
        sum(cycles[last:]),
        job.cycles + run_cycles,
        word * job.store_words + STORE_LATENCY,
    )


def stacked(records: Sequence[Record], shape: tuple[int, ...]) -> Record:
    """Put the numbers of several records into arrays of one record; other fields come from the first record.

    Args:
        records: Totals or chain steps of one operation with several tile sizes.
        shape: Shape of the arrays.
    """
    first = records[0]
    values: dict[str, Any] = {}
    for field in fields(first):  # type: ignore[arg-type]
        own = [getattr(record, field.name) for record in records]
        if isinstance(own[0], ChainStep):
            values[field.name] = stacked(own, shape)
        elif field.type is Number:
            values[field.name] = np.array(own, float).reshape(shape)
        else:
            values[field.name] = own[0]
    return type(first)(**values)
