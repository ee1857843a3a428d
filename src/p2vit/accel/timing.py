"""What a timing model says about a run: the same record from the closed form and from the event-driven simulation."""

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
class Timing:
    """Cycles of a whole run.

    Attributes:
        cycles: From the first DRAM request to the last result.
        busy: Cycles of work per resource (chunks, re-quantization, activation buffer, DRAM).
        stalls: Cycles that each chunk stands still, by reason; busy + stalls = cycles for every chunk.
        operation_cycles: Cycles of the run attributed to each operation, per section; they add up to ``cycles``.
        phases: Every phase in order; empty from the event-driven simulation.
    """

    cycles: int
    busy: dict[str, float]
    stalls: dict[str, dict[str, float]]
    operation_cycles: tuple[tuple[float, ...], ...]
    phases: tuple[PhaseTime, ...]
