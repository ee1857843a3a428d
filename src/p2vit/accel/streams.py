"""Parts of a schedule as the event-driven simulation runs them: queues of tiles with their state."""

from dataclasses import dataclass, field

from p2vit.accel.costs import MAC, SOFTMAX
from p2vit.accel.dataflow import Part, Schedule, Section
from p2vit.accel.machine import Machine
from p2vit.accel.memory import pipelined


@dataclass
class Stream:
    """One part, running.

    Attributes:
        index: Position among all streams.
        section: Position of its section in the schedule.
        operation: Position of its operation in the section.
        window: (section, phase); a chunk works on one window at a time.
        chunk: Where it runs.
        passes: Weight tiles.
        groups: Row groups of one pass.
        occupied: Cycles the chunk is taken by one tile.
        starved: Of those, cycles waiting for the weight buffer's port.
        exposed: Of those, cycles waiting for re-quantization that is not hidden.
        requant: Re-quantization cycles of one tile.
        activation: Activation-buffer cycles of one tile.
        depth: Cycles from the end of a tile until others may read it.
        needs: (stream, "rows" | "all", pass-aligned).
        reuses: Streams that must be finished before it may write.
        load_bytes: DRAM bytes of one pass.
        weight_bytes: Weight-buffer bytes of one pass.
        spilled: DRAM cycles of activations that one tile reads or writes.
        score_bytes: Accumulator-buffer bytes that one tile takes (scores) or gives back (softmax, negative).
        behind: Array parts of the same phase that it follows, directly or not: those have to run ahead of it.
        readers: Streams that need it.
        issued: Tiles begun.
        ends: Of every tile begun, when its results may be read.
        done: Tiles whose results may be read.
        loaded: Passes whose weights are on the chip.
        blocked_by: Why its next tile could not begin when last looked at.
    """

    index: int
    section: int
    operation: int
    window: tuple[int, int]
    chunk: str
    passes: int
    groups: int
    occupied: float
    starved: float
    exposed: float
    requant: float
    activation: float
    depth: int
    needs: tuple[tuple[int, str, bool], ...]
    reuses: tuple[int, ...]
    load_bytes: float
    weight_bytes: float
    spilled: float
    score_bytes: float
    behind: int = 0
    readers: list[int] = field(default_factory=list)
    issued: int = 0
    ends: list[float] = field(default_factory=list)
    done: int = 0
    loaded: int = 0
    blocked_by: str = ""

    @property
    def tiles(self) -> int:
        """Tiles in all."""
        return self.passes * self.groups

    def needed_of(self, producer: "Stream", how: str, aligned: bool) -> int:
        """Tiles of ``producer`` that must be done before the next tile may begin."""
        if how == "all":
            return producer.tiles
        weight_pass, group = divmod(self.issued, self.groups)
        rows = -(-(group + 1) * producer.groups // self.groups)
        return (weight_pass if aligned else producer.passes - 1) * producer.groups + rows


def streams_of(machine: Machine, plan: Schedule) -> list[Stream]:
    """Every part of every section, in order of issue.

    The first part of a section needs the rows of the last part of the section before.
    """
    streams: list[Stream] = []
    for number, section in enumerate(plan.sections):
        base = len(streams)
        for part in section.parts:
            needs = [(base + need, how) for need, how in part.needs]
            if not part.needs and streams:
                needs = [(base - 1, "rows" if pipelined(machine) else "all")]
            stream = _stream(machine, section, part, number, base, len(streams))
            stream.needs = tuple((need, how, part.aligned) for need, how in needs)
            for need, _, _ in stream.needs:
                producer = streams[need]
                producer.readers.append(stream.index)
                if producer.window == stream.window:
                    stream.behind = max(stream.behind, producer.behind + (producer.chunk == MAC))
            streams.append(stream)
    return streams


def _stream(machine: Machine, section: Section, part: Part, number: int, base: int, index: int) -> Stream:
    operation, cost = section.operations[part.operation], section.costs[part.operation]
    each = part.share * part.tiles
    score_bytes = 0.0
    if pipelined(machine):
        at_scores = next((i for i, op in enumerate(section.operations) if op.kind == "scores"), -1)
        bytes_written = section.costs[at_scores].accumulator_bytes if at_scores >= 0 else 0
        if operation.kind == "scores":
            score_bytes = bytes_written / each
        elif cost.chunk == SOFTMAX:
            score_bytes = -bytes_written / each
    return Stream(
        index=index,
        section=number,
        operation=part.operation,
        window=(number, part.phase),
        chunk=cost.chunk,
        passes=part.passes,
        groups=part.groups,
        occupied=cost.occupied_cycles / each,
        starved=cost.starved_cycles / each,
        exposed=cost.exposed_requant_cycles / each,
        requant=cost.requant_cycles / each,
        activation=cost.activation_bytes / machine.buffers.activation.bytes_per_cycle / each,
        depth=cost.depth_cycles,
        needs=(),
        reuses=tuple(base + part_index for part_index in part.reuses),
        load_bytes=part.fetched_bytes / part.passes,
        weight_bytes=operation.weight_bytes / part.share / part.passes,
        spilled=part.spilled_bytes / machine.dram_bytes_per_cycle / part.tiles,
        score_bytes=score_bytes,
    )
