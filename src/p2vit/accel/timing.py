"""What a timing model says about a run: the same record from the closed form and from the event-driven
simulation.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PhaseTime:
    """One phase of one section.

    Attributes:
        section: Position of the section in the schedule.
        phase: Phase in the section.
        cycles: How long it takes, counted from the end of the phase before.
        limited_by: The resource that sets its length.
    """

    section: int
    phase: int
    cycles: float
    limited_by: str


@dataclass(frozen=True)
class Tile:
    """One tile on one chunk, from the event-driven simulation.

    Attributes:
        chunk: Where it ran.
        section: Position of its section in the schedule.
        operation: Position of its operation in the section.
        start: First cycle.
        end: Cycle in which the chunk is free again.
        waited: Cycles the chunk stood still before it.
        reason: Why it stood still; empty if it did not.
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
        cycles: From the first DRAM request to the last result.
        busy: Cycles of work per resource (chunks, re-quantization, activation buffer, DRAM).
        stalls: Cycles that each chunk stands still, by reason; busy + stalls = cycles for every chunk.
        operation_cycles: Cycles of the run attributed to each operation, per section; they add up to
            ``cycles``.
        phases: Every phase in order; empty from the event-driven simulation.
        tiles: Every tile in order of its start; empty from the closed form.
    """

    cycles: int
    busy: dict[str, float]
    stalls: dict[str, dict[str, float]]
    operation_cycles: tuple[tuple[float, ...], ...]
    phases: tuple[PhaseTime, ...] = ()
    tiles: tuple[Tile, ...] = ()
