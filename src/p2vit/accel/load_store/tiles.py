"""Choice of the column tiles of a load–store machine, by the cycles that the closed form predicts.

Larger tiles need fewer runs and load the rows less often, but their first run waits longer for its weights and their
last results come out later. The cycles of a phase depend on its own tiles and on those of the previous phase. So the
best tiles of all operations are found exactly, phase by phase, as a shortest path. Equal blocks have equal tiles.

Larger buffers only add tiles to choose from, once they hold ``table_columns`` columns. So they never make the predicted
run slower.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from p2vit.accel.load_store.phases import PhaseChoices
from p2vit.accel.load_store.section_jobs import SectionJobs
from p2vit.accel.load_store.totals import Number
from p2vit.accel.machine.description import Machine


@dataclass
class _Stage:
    """Equal sections in a row, with the way to their best tiles.

    Attributes:
        section: Section.
        times: Number of equal sections.
        tiles: Tiles to choose from for each phase.
        entry: Best choice of the last phase before, for each choice of the first phase.
        back: Best choice of each phase for each choice of the next one, [choices of the last phase or 1, choices].
    """

    section: SectionJobs
    times: int
    tiles: list[tuple[int, ...]]
    entry: Number
    back: list[Number]


def choose_tiles(machine: Machine, sections: Sequence[SectionJobs]) -> list[tuple[int, ...]]:
    """Choose the column tiles of every operation.

    Args:
        machine: Load–store machine. If its operations must not overlap, every operation has its largest tile.
        sections: Sections in program order; equal sections share one object.

    Returns:
        Columns per tile of every operation, for each section. Of equally fast tiles, the largest.
    """
    if not machine.pipelining.inter_layer:
        return [_of_operations(section, {}) for section in sections]
    stages: list[_Stage] = []
    total: Number = np.zeros(1)
    before: PhaseChoices | None = None
    for section, equal in groupby(sections):
        stage, total, before = _stage(section, len(list(equal)), total, before)
        stages.append(stage)
    assert before is not None
    chosen = int(np.argmin(total + before.drain()))
    found: list[tuple[int, ...]] = []
    for stage in reversed(stages):
        last, tiles = chosen if stage.times > 1 else 0, {}
        for at in range(len(stage.tiles) - 1, -1, -1):
            tiles[stage.section.shapes[at].core] = stage.tiles[at][chosen]
            if at:
                chosen = int(stage.back[at - 1][last, chosen])
        chosen = int(stage.entry[chosen])
        found += [_of_operations(stage.section, tiles)] * stage.times
    return found[::-1]


def _stage(
    section: SectionJobs, times: int, total: Number, before: PhaseChoices | None
) -> tuple[_Stage, Number, PhaseChoices]:
    """Add equal sections to the cycles so far.

    Args:
        section: Section.
        times: Number of equal sections.
        total: Cycles so far for each choice of the last phase before.
        before: Last phase before; None at the start.

    Returns:
        Sections with their choices, cycles for each choice of their last phase, and that phase.
    """
    tiles, phases = zip(*(section.choices_of(shape) for shape in section.shapes), strict=True)
    entries = total[:, None] + phases[0].cycles(before, True)
    stage = _Stage(section, times, list(tiles), entries.argmin(axis=0), [])
    # The first of the equal sections follows `before`, the others follow the last phase of their own kind.
    cycles = entries.min(axis=0)[None, :]
    if times > 1:
        cycles = cycles + (times - 1) * phases[0].cycles(phases[-1], True)
    for at in range(1, len(phases)):
        ways = cycles[:, :, None] + times * phases[at].cycles(phases[at - 1], False)
        stage.back.append(ways.argmin(axis=1))
        cycles = ways.min(axis=1)
    return stage, cycles.diagonal() if times > 1 else cycles[0], phases[-1]


def _of_operations(section: SectionJobs, chosen: dict[int, int]) -> tuple[int, ...]:
    array = {index: tile for index, tile in chosen.items() if tile}
    return tuple(section.tile(index, array) for index in range(len(section.steps)))
