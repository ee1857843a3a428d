"""Exact timing of the chunk organisation: the cycle of every word that a chunk writes.

The timing goes once over the descriptors, in order. Every wait is for an event of an earlier descriptor, so one pass
gives every cycle without an event queue. Only the loads are timed on demand, because a load of weights waits for the
array to take the words before. The times are exact for a memory that accepts every request and answers after a fixed
latency: they are then equal to the RTL, word by word.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from p2vit.hdl.chunks.compile.compiled import CompiledChunks, Stream
from p2vit.hdl.chunks.compile.placing import results_of
from p2vit.hdl.chunks.load_timing import LoadTimes
from p2vit.hdl.chunks.machine import (
    MEMORY_LATENCY,
    NORM_LATENCY,
    NORM_ROWS,
    PARAMETER_WORDS,
    QUEUE_DEPTH,
    RESULT_LATENCY,
    SOFTMAX_LATENCY,
    SQUARES_LATENCY,
    STATISTICS_LATENCY,
    TABLE_ENTRIES,
)
from p2vit.hdl.chunks.top.descriptor import Descriptor, Dest, Kind, Operand
from p2vit.numerics.rounding import IntArray

#: Cycles from an issue to the trace of the result, of a normalised word, and of a word of codes.
TRACE_LATENCY, NORM_WRITE, CODE_WRITE = 8, 6, 9
#: Cycles from the issue of a row of logits to the end of its four writes.
EXTERNAL_LATENCY = RESULT_LATENCY + 5


@dataclass(frozen=True, eq=False)
class ChunkTiming:
    """Timing of one photo.

    Attributes:
        cycles: Cycles from the first descriptor to ``done``.
        traces: Trace → cycle of each word, int64 [words].
        array_busy: Cycles in which the array takes an operand.
        waits: Reason → cycles in which the array waits for it.
    """

    cycles: int
    traces: dict[Stream, IntArray]
    array_busy: int
    waits: dict[str, int]


def chunk_timing(compiled: CompiledChunks, latency: int = MEMORY_LATENCY) -> ChunkTiming:
    """Compute the timing of a compiled program.

    Args:
        compiled: Program, compiled for a machine of the chunk organisation.
        latency: Cycles from a read request to its answer. The memory accepts every request.
    """
    return _Timing(compiled, latency).run()


class _Queue:
    """Entries of a queue: cycles in which its chunk takes them."""

    def __init__(self) -> None:
        self.taken: deque[int] = deque(maxlen=QUEUE_DEPTH)

    @property
    def room(self) -> int:
        """First cycle in which a descriptor can be put into the queue."""
        return self.taken[0] + 1 if len(self.taken) == QUEUE_DEPTH else 0


@dataclass(frozen=True)
class _Seconds:
    """Second results that wait for the next block.

    Attributes:
        results: Number of steps that put out a second result.
        slot: First cycle in which the array sees their parameters.
        parameters: Whether they use a slot of parameters.
    """

    results: int
    slot: int
    parameters: bool


class _Timing:
    def __init__(self, compiled: CompiledChunks, latency: int) -> None:
        self.compiled, self.lines = compiled, compiled.machine.lines
        self.loads = LoadTimes(compiled, latency)
        self.queues = {kind: _Queue() for kind in (Kind.ARRAY, Kind.NORM, Kind.SOFTMAX)}
        self.feed_queue = _Queue()
        self.dispatched = 0
        # Cycle of every result that the array wrote, and of the count of every row.
        self.written = np.zeros(
            sum(results_of(d) for d in compiled.descriptors if d.kind == Kind.ARRAY), np.int64
        )
        self.count = 0
        self.norm_rows: list[int] = []
        self.softmax_rows: list[int] = []
        self.norm_words: list[IntArray] = []
        self.code_words: list[IntArray] = []
        # Feed: end of its last word, and end of the groups whose slots are in use. Array: last issue.
        self.feed = -1
        self.slot_ends: list[int] = []
        self.slots_loaded = 0
        self.pending: _Seconds | None = None
        self.issue = -1
        self.taken_block = -1
        self.last_issue = -1
        self.last_emit = -10 * RESULT_LATENCY
        self.external_end = 0
        self.norm_end = self.softmax_end = -1
        self.busy = 0
        self.waits: dict[str, int] = {}

    def run(self) -> ChunkTiming:
        """Time every descriptor."""
        cycles = 0
        for number, descriptor in enumerate(self.compiled.descriptors):
            match descriptor.kind:
                case Kind.LOAD:
                    self.loads.add(number, self.visible(self.loads.room()))
                case Kind.ARRAY:
                    self.array(
                        descriptor, self.visible(max(self.feed_queue.room, self.queues[Kind.ARRAY].room))
                    )
                case Kind.NORM:
                    self.norm(descriptor, self.visible(self.queues[Kind.NORM].room))
                case Kind.SOFTMAX:
                    self.softmax(descriptor, self.visible(self.queues[Kind.SOFTMAX].room))
                case Kind.END:
                    start = max(self.visible(self.queues[Kind.ARRAY].room), self.last_issue)
                    cycles = max(start + 1, self.last_emit + RESULT_LATENCY + 1, self.external_end)
        norm, codes = np.concatenate(self.norm_words), np.concatenate(self.code_words)
        return ChunkTiming(
            cycles,
            {
                "result": self.written - RESULT_LATENCY + TRACE_LATENCY,
                "written": self.written,
                "norm": norm,
                "affine": norm,
                "softmax": codes,
                "patch": np.array(self.loads.patch_words, np.int64),
            },
            self.busy,
            self.waits,
        )

    def visible(self, room: int) -> int:
        """Dispatch the next descriptor; return the cycle at which its chunk sees it."""
        self.dispatched = max(self.dispatched + 1, room)
        return self.dispatched + 1

    def written_at(self, count: int) -> int:
        """Return the first cycle in which the array's counter has reached a count."""
        return int(self.written[count - 1]) + 1 if count > 0 else 0

    def array(self, op: Descriptor, visible: int) -> None:
        """Time an operation of the array and of its feed."""
        at = max(visible, self.feed + 1, self.written_at(op["key_wait"]))
        self.feed_queue.taken.append(at)
        self.feed = at
        self.issue = max(visible, self.last_issue)
        self.queues[Kind.ARRAY].taken.append(self.issue)
        chunks = op["chunks"]
        for group in range(op["groups"]):
            has_second = bool(op["pairs"]) and not (op["second_short"] and group == op["groups"] - 1)
            slot = 0
            for chunk in range(chunks):
                full = self.block(op)
                if chunk == 0 and op["parameters"]:
                    slot = self.parameters(op)
                if chunk == 0 and self.pending:
                    full = max(full, self.pending.slot)
                times = self.steps(op, chunk, max(full, slot) if chunk == chunks - 1 else full)
                if chunk == 0 and self.pending:
                    self.put_out_seconds(times)
            self.emit(times)
            if op["parameters"] and not op["log2"]:
                self.slot_ends.append(self.issue)
            if op["pairs"] and has_second:
                self.pending = _Seconds(op["tokens"], self.parameters(op) if op["parameters"] else 0, True)
            elif op["log2"]:
                self.pending = _Seconds(op["tokens"] - op["second_short"], 0, bool(op["parameters"]))
            if op["dest"] == Dest.EXTERNAL:
                self.external_end = self.issue + EXTERNAL_LATENCY
        if op["flush"]:
            first = max(self.issue + 1, self.pending.slot if self.pending else 0)
            times = first + np.arange(op["tokens"])
            self.issue = int(times[-1])
            self.wait("flush", op["tokens"])
            self.put_out_seconds(times)
        self.last_issue = self.issue

    def steps(self, op: Descriptor, chunk: int, ready: int) -> IntArray:
        """Issue the steps of a block that is loaded; return their cycles, int64 [tokens]."""
        steps = np.arange(op["tokens"])
        first = max(self.issue + 1, ready)
        if op["dest"] == Dest.EXTERNAL and chunk == op["chunks"] - 1:
            first = max(first, self.last_emit + RESULT_LATENCY + 1, self.external_end)
        self.wait("weights", first - self.issue - 1)
        # An operand is issued one cycle after the one before, or when it is there.
        late = np.maximum.accumulate(self.available(op, chunk) - steps)
        times = steps + np.maximum(first, late)
        self.wait(Operand(op["operand"]).name.lower(), int(times[-1]) - first - len(steps) + 1)
        self.taken_block, self.issue = int(times[0]), int(times[-1])
        self.busy += len(steps)
        return times

    def emit(self, times: IntArray) -> None:
        """Record the results of steps."""
        self.written[self.count : self.count + len(times)] = times + RESULT_LATENCY
        self.count += len(times)
        self.last_emit = int(times[-1])

    def put_out_seconds(self, times: IntArray) -> None:
        """Record the second results of a group in the steps of the next block."""
        assert self.pending
        self.emit(times[: self.pending.results])
        if self.pending.parameters:
            self.slot_ends.append(int(times[-1]))
        self.pending = None

    def wait(self, reason: str, cycles: int) -> None:
        """Count cycles in which the array waits."""
        if cycles:
            self.waits[reason] = self.waits.get(reason, 0) + cycles

    def available(self, op: Descriptor, chunk: int) -> IntArray:
        """Return the first cycle in which each operand of a chunk may be issued, int64 [tokens]."""
        need = op["wait_base"] + chunk * op["wait_chunk"] + op["wait_token"] * np.arange(op["tokens"])
        match Operand(op["operand"]):
            case Operand.NORM:
                return np.array(self.norm_rows, np.int64)[need - 1]
            case Operand.CODES:
                return np.array(self.softmax_rows, np.int64)[need - 1]
            case Operand.PATCHES:
                return np.full(len(need), self.loads.patches(op["wait_base"]))
            case Operand.OPERANDS:
                return self.written[need - 1] + 1

    def words(self, count: int, first: int) -> int:
        """Take words from the weight queue, one per cycle at most; return the cycle of the last one."""
        return self.loads.take(count, first)

    def parameters(self, op: Descriptor) -> int:
        """Time the parameters of a group; return the first cycle in which the array sees them."""
        # There are two slots; the one that was loaded before the last one is free after its last result.
        before = self.slot_ends[self.slots_loaded - 2] if self.slots_loaded >= 2 else -2 * RESULT_LATENCY
        self.slots_loaded += 1
        begin = max(self.feed + 1, before + RESULT_LATENCY + 1)
        count = PARAMETER_WORDS + (TABLE_ENTRIES // self.lines if op["table"] else 0)
        self.feed = self.words(count, begin)
        return self.feed + 2

    def block(self, op: Descriptor) -> int:
        """Time the load of a block; return the first cycle in which the array sees that it is full."""
        begin = max(self.feed + 1, self.taken_block + 1)
        self.feed = begin + self.lines - 1 if op["stored"] else self.words(self.lines, begin)
        return self.feed + 2

    def norm(self, op: Descriptor, visible: int) -> None:
        """Time a LayerNorm."""
        start = max(visible, self.norm_end + 1, self.loads.norm_parameters())
        self.queues[Kind.NORM].taken.append(start)
        words, rows = op["words"], op["rows"]
        a = b = start + 1 - words
        c = start + 1 - words
        ends: list[int] = []
        firsts = []
        for row in range(rows):
            there = self.written_at(op["wait_base"] + row)
            a = max(a + words, there, ends[row - NORM_ROWS] + 1 if row >= NORM_ROWS else 0)
            b = max(b + words, a + words - 1 + STATISTICS_LATENCY)
            c = max(c + words, b + words - 1 + SQUARES_LATENCY)
            firsts.append(c)
            ends.append(c + words - 1)
        self.norm_words.append((np.array(firsts)[:, None] + np.arange(words) + NORM_WRITE).reshape(-1))
        self.norm_rows += [end + NORM_LATENCY for end in ends]
        self.norm_end = ends[-1] + NORM_LATENCY
        self.loads.norm_slots.append(self.norm_end + 1)

    def softmax(self, op: Descriptor, visible: int) -> None:
        """Time a softmax."""
        start = max(visible, self.softmax_end)
        self.queues[Kind.SOFTMAX].taken.append(start)
        words, rows = op["words"], op["rows"]
        single = rows % 2 if op["log2"] else 0
        ready = self.written[op["wait_base"] - 1 : op["wait_base"] - 1 + rows] + 1
        steps = 2 * words * np.arange(rows)
        begins = steps + np.maximum(start + 1, np.maximum.accumulate(ready - steps))
        self.code_words.append((begins[:, None] + words + np.arange(words) + CODE_WRITE).reshape(-1))
        ends = begins + 2 * words - 1
        self.softmax_rows += (ends + SOFTMAX_LATENCY).tolist()
        # A single last row of log2 codes counts as two.
        self.softmax_rows += self.softmax_rows[-single:] if single else []
        self.softmax_end = int(ends[-1])
