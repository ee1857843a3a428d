"""Jobs of a section for given tile sizes, and their sums. Machines that differ in buffer sizes only share them."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from p2vit.accel.load_store.array import ArrayJobs
from p2vit.accel.load_store.loops import JobLoop
from p2vit.accel.load_store.phases import Phase, PhaseChoices, PhaseShape, phase_shapes
from p2vit.accel.load_store.section_layout import SectionLayout
from p2vit.accel.load_store.steps import ARRAY_FORMS, Step
from p2vit.accel.load_store.totals import Totals, totals_of
from p2vit.accel.load_store.vector import VectorJobs
from p2vit.accel.machine.description import Machine


class SectionJobs:
    """Makes the jobs of every operation of a section.

    Args:
        machine: Load–store machine.
        steps: Steps that fit the machine.
        norm_table: Words of the root table that the first LayerNorm loads; 0 if it is already loaded.
    """

    def __init__(self, machine: Machine, steps: Sequence[Step], norm_table: int) -> None:
        options = machine.load_store
        assert options is not None
        self.steps = tuple(steps)
        layout = SectionLayout(machine, options, self.steps)
        self._array, self._vector = ArrayJobs(layout), VectorJobs(layout, norm_table)
        self._known = _known_sums(_Keyed(machine), self.steps, norm_table)

    @property
    def shapes(self) -> list[PhaseShape]:
        """Phases of the section."""
        return self._known.shapes

    def choices(self, index: int) -> tuple[int, ...]:
        """Return the column tiles to choose from, the largest first; one of no meaning for a vector operation."""
        step = self.steps[index]
        return self._array.tiles(step) if step.form in ARRAY_FORMS else (0,)

    def tile(self, index: int, chosen: Mapping[int, int]) -> int:
        """Return the columns per tile of an operation.

        Args:
            index: Position of the operation.
            chosen: Columns per tile of the operations of the array, by their position. If one is missing, it has its
                largest tile.
        """
        step = self.steps[index]
        if step.form in ARRAY_FORMS:
            return chosen[index] if index in chosen else self.choices(index)[0]
        source = step.reads[-1] if step.reads else -1
        linear = source >= 0 and self.steps[source].form == "linear"
        return self._vector.tile(step, self.tile(source, chosen) if linear else None)

    def loop(self, index: int, tile: int) -> JobLoop:
        """Return the jobs of an operation in tiles of some columns."""
        return self._known.loop(index, tile)

    def choices_of(self, shape: PhaseShape) -> tuple[tuple[int, ...], PhaseChoices]:
        """Return the column tiles to choose from for a phase, and the phase with each of them."""
        tiles = self.choices(shape.core)
        by_operation = tuple(
            tuple(self.tile(index, {shape.core: tile}) for tile in tiles) for index in shape.operations
        )
        return tiles, self._known.phase(shape, by_operation)

    def totals(self, index: int, tile: int) -> Totals:
        """Return the sums over the jobs of an operation in tiles of some columns."""
        return self._known.totals(index, tile)


class _Sums:
    """Loops and sums by operation and tile. They do not depend on the sizes of the buffers."""

    def __init__(self, machine: Machine, steps: tuple[Step, ...], norm_table: int) -> None:
        options = machine.load_store
        assert options is not None
        self.machine, self.steps = machine, steps
        layout = SectionLayout(machine, options, steps)
        self._array, self._vector = ArrayJobs(layout), VectorJobs(layout, norm_table)
        self.shapes = phase_shapes(machine, steps)
        self._loops: dict[tuple[int, int], JobLoop] = {}
        self._phases: dict[tuple[PhaseShape, tuple[tuple[int, ...], ...]], PhaseChoices] = {}
        self._totals: dict[tuple[int, int], Totals] = {}

    def loop(self, index: int, tile: int) -> JobLoop:
        key, step = (index, tile), self.steps[index]
        if key not in self._loops:
            maker = self._array if step.form in ARRAY_FORMS else self._vector
            self._loops[key] = maker.loop(index, step, tile)
        return self._loops[key]

    def totals(self, index: int, tile: int) -> Totals:
        key = index, tile
        if key not in self._totals:
            self._totals[key] = totals_of(self.machine, index, self.loop(index, tile))
        return self._totals[key]

    def phase(self, shape: PhaseShape, tiles: tuple[tuple[int, ...], ...]) -> PhaseChoices:
        """Return a phase with several tile sizes, given for each of its operations."""
        key = shape, tiles
        if key not in self._phases:
            own = dict(zip(shape.operations, tiles, strict=True))
            choices = [
                Phase.of(shape, lambda index, at=at: self.totals(index, own[index][at]))  # type: ignore[misc]
                for at in range(len(tiles[0]))
            ]
            self._phases[key] = PhaseChoices(self.machine, choices)
        return self._phases[key]


class _Keyed:
    """Machine that equals every machine with the same jobs for the same tiles: only sizes of buffers may differ."""

    def __init__(self, machine: Machine) -> None:
        options = machine.load_store
        assert options is not None
        self.machine = machine
        self.key: tuple[Any, ...] = (
            machine.chunks,
            machine.pipelining,
            machine.buffers.weight.bytes_per_cycle,
            machine.dram_bytes_per_cycle,
            machine.dram_latency_cycles,
            options.slots,
            options.run_cycles,
            options.reciprocal_cycles,
            options.norm_row_cycles,
        )
        self._hash = hash(self.key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self.key == other.key


@lru_cache(maxsize=1024)
def _known_sums(keyed: _Keyed, steps: tuple[Step, ...], norm_table: int) -> _Sums:
    return _Sums(keyed.machine, steps, norm_table)
