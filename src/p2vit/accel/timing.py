"""Timing of a run. The closed form and the event-driven simulation return the same record."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PhaseTime:
    """Duration of one phase of one section.

    Attributes:
        section: Position of the section in the schedule.
        phase: Phase in the section.
        cycles: Cycles from the end of the previous phase to the end of this one.
        limited_by: Resource that determines the duration.
    """

    section: int
    phase: int
    cycles: float
    limited_by: str


@dataclass(frozen=True)
class Tile:
    """One tile on one chunk, from the event-driven simulation.

    Attributes:
        chunk: Chunk that ran the tile.
        section: Position of its section in the schedule.
        operation: Position of its operation in the section.
        start: First cycle.
        end: Cycle in which the chunk is free again.
        waited: Cycles that the chunk was stalled before the tile.
        reason: Reason of the stall; empty without a stall.
    """

    chunk: str
    section: int
    operation: int
    start: float
    end: float
    waited: float
    reason: str


@dataclass(frozen=True)
class Timing:
    """Cycles of a whole run.

    Attributes:
        cycles: Cycles from the first DRAM request to the last result.
        busy: Cycles of work per resource (chunks, re-quantization, activation buffer, DRAM).
        stalls: Stalled cycles of each chunk by reason; for every chunk, busy and stalled cycles add up to ``cycles``.
        operation_cycles: Cycles of the run attributed to each operation, per section; they add up to ``cycles``.
        phases: All phases in order; empty from the event-driven simulation.
        tiles: All tiles in order of their start; empty from the closed form.
    """

    cycles: int
    busy: dict[str, float]
    stalls: dict[str, dict[str, float]]
    operation_cycles: tuple[tuple[float, ...], ...]
    phases: tuple[PhaseTime, ...] = ()
    tiles: tuple[Tile, ...] = ()
