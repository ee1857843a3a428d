"""Matrix products of a load–store machine as jobs of the array: linear layers, scores, attention × V."""

from p2vit.accel.chunks.costs import REQUANT, columns_per_step
from p2vit.accel.chunks.gemm import folds
from p2vit.accel.load_store.formats import LINE_PARAMETER_WORDS
from p2vit.accel.load_store.jobs import EngineJob, Load, Region
from p2vit.accel.load_store.loops import JobLoop
from p2vit.accel.load_store.section_layout import SectionLayout, words_each
from p2vit.accel.load_store.steps import Step
from p2vit.accel.machine.description import LoadStore, Machine
from p2vit.accel.workload.operations import Operation

WEIGHT_PORT = "weight buffer: too few bytes per cycle"
SLOW_REQUANT = f"{REQUANT}: slower than the array"
EXPOSED_REQUANT = f"{REQUANT}: not hidden"


class ArrayJobs:
    """Makes the jobs of operations that run on the array.

    Args:
        layout: Layout of the section.
    """

    def __init__(self, layout: SectionLayout) -> None:
        self.layout = layout
        self.machine, self.options, self.steps = layout.machine, layout.options, layout.steps
        self.lines, self.lanes = layout.lines, layout.lanes

    def tiles(self, step: Step) -> tuple[int, ...]:
        """Return the column tiles that an operation can be divided into, the largest first.

        A tile has whole column groups that fit the weight, output and parameter buffers, and at least
        ``table_columns`` columns if they fit. Tiles are multiples of ``table_columns``, so that tables can follow tile
        by tile; if column groups do not divide it, all tiles of an operation have about the same width. Larger
        buffers only add tiles, once they hold ``table_columns`` columns.
        """
        op, options = step.operation, self.options
        broadcast = step.form == "linear"
        group = self.lines * (columns_per_step(self.machine, op) if broadcast else 1)
        columns = op.rows if step.form == "values" else op.cols
        held = weight_rows(self.machine, options) // folds(op.inner, self.lanes)
        most = min(held, options.columns_per_run // group)
        if not most:  # the output buffer is shorter than a group
            return (min(columns, options.columns_per_run),)
        whole, together = folds(columns, group), options.table_columns
        if together % group:
            counts = {folds(whole, tiles) for tiles in range(1, whole + 1)}
            counts = {count for count in counts if count == whole or count * group >= together}
        else:
            counts = {whole, *range(together // group, whole, together // group)}
        fitting = [count for count in counts if count <= most] or [most]
        return tuple(min(columns, count * group) for count in sorted(fitting, reverse=True))

    def loop(self, index: int, step: Step, tile: int) -> JobLoop:
        """Return the jobs of an operation.

        Args:
            index: Position of the operation in the section.
            step: Operation.
            tile: Columns per tile.
        """
        make = {
            "linear": self.linear,
            "values": self.values,
            "scores": self.scores,
            "attention": self.attention,
        }
        return make[step.form](index, step, tile)

    def weight_words(self, op: Operation) -> int:
        """Return the weight words of ``lines`` columns; two 4-bit weights share a byte."""
        return folds(op.inner, 2) if op.weight_bits <= 4 else op.inner

    def run(
        self, index: int, columns: int, loads: list[Load], group: int, groups: range, writes: Region,
        once: tuple[str, ...], reciprocal: bool = False,
    ) -> EngineJob:  # fmt: skip
        """Make one run of the array and its store; the buffers in ``once`` serve all row groups."""
        op, chunks = self.steps[index].operation, self.machine.chunks
        # Only broadcast weights come two columns at once; those of the values of attention are stationary.
        at_once = columns_per_step(self.machine, op) if "column_parameters" in once else 1
        stored, columns = columns, folds(columns, at_once)
        step = folds(op.inner, self.lanes)
        slowed = []
        port = self.machine.buffers.weight.bytes_per_cycle
        read = folds(op.inner * (op.weight_bits or 8) * at_once, 8)
        if (starved := folds(read, port) - step) > 0:
            slowed.append((WEIGHT_PORT, columns * starved))
        if op.requantized:
            lane = chunks.requantization
            each = folds(self.lines * at_once * lane.initiation_interval_cycles, lane.lanes)
            if not self.machine.pipelining.intra_layer:
                after = max(0, lane.pipeline_depth_cycles - lane.initiation_interval_cycles)
                slowed.append((EXPOSED_REQUANT, columns * (each + after)))
            elif each > step:
                slowed.append((SLOW_REQUANT, columns * (each - step)))
        overhead = chunks.mac_array.pipeline_depth_cycles + (
            self.options.reciprocal_cycles if reciprocal else 0
        )
        return EngineJob(
            index, "array", tuple(loads), columns * step, tuple(slowed), overhead,
            ("rows", *(once if group == groups[0] else ())),
            ("rows", *(once if group == groups[-1] else ())),
            stored * words_each(op), writes,
        )  # fmt: skip

    def linear(self, index: int, step: Step, tile: int) -> JobLoop:
        """Return the jobs of a linear layer: the input rows are stationary, the outputs are the columns."""
        op = step.operation
        at_once = columns_per_step(self.machine, op)
        # Two columns that share a byte take as many words as the terms of one column.
        words = op.inner if at_once > 1 else self.weight_words(op)
        groups = self.layout.groups(step)

        def make(head: int, first: int, columns: int, group: int) -> EngineJob:
            loads = []
            if group == groups[0]:
                loads = [
                    Load(words * folds(columns, self.lines * at_once), "weights"),
                    self.layout.column_parameters(columns),
                ]
            loads.append(Load(op.inner, "rows", self.layout.region(step, 0, group)))
            writes = Region(index, 0, group, first, first + columns)
            return self.run(index, columns, loads, group, groups, writes, ("weights", "column_parameters"))

        return JobLoop(make, op.cols, tile, groups)

    def values(self, index: int, step: Step, tile: int) -> JobLoop:
        """Return the jobs of the values of attention: the weights are stationary, the tokens are the columns.

        So the values come out channel by channel, as attention × V reads them.
        """
        op = step.operation
        words, per_head = self.weight_words(op), folds(op.cols // step.heads, self.lines)
        every = range(step.heads * per_head)

        def make(head: int, first: int, columns: int, group: int) -> EngineJob:
            loads = []
            if group == every[0]:
                tokens = self._groups_of(first, columns)
                reads = tuple(region for token in tokens for region in self.layout.region(step, 0, token))
                loads = [Load(op.inner * len(tokens), "weights", reads)]
            loads += self.rows_with_parameters(words, (), ())
            own, inside = divmod(group, per_head)
            writes = Region(index, own, inside, first, first + columns)
            return self.run(index, columns, loads, group, every, writes, ("weights",))

        first_rows = (step.heads - 1) * per_head
        return JobLoop(make, op.rows, tile, every, completes=first_rows, alike=not tile % self.lines)

    def scores(self, index: int, step: Step, tile: int) -> JobLoop:
        """Return the jobs of the scores: the queries are stationary, the keys are the columns; one product per head."""
        op = step.operation
        depth, groups = op.inner, range(folds(op.rows, self.lines))

        def make(head: int, first: int, columns: int, group: int) -> EngineJob:
            part = (head * depth, head * depth + depth)
            loads = []
            if group == groups[0]:
                keys = self._groups_of(first, columns)
                reads = tuple(Region(step.reads[1], 0, key, *part) for key in keys)
                loads = [Load(depth * len(keys), "weights", reads)]
            loads.append(Load(depth, "rows", (Region(step.reads[0], 0, group, *part),)))
            writes = Region(index, head, group, first, first + columns)
            return self.run(index, columns, loads, group, groups, writes, ("weights",))

        aligned = not tile % self.lines
        return JobLoop(make, op.cols, tile, groups, op.heads, own_heads=True, alike=aligned)

    def attention(self, index: int, step: Step, tile: int) -> JobLoop:
        """Return the jobs of attention × V: codes and row sums are stationary, the channels of V are the columns."""
        op = step.operation
        keys, groups = op.inner, range(folds(op.rows, self.lines))
        codes, values = step.reads

        def make(head: int, first: int, columns: int, group: int) -> EngineJob:
            loads = []
            if group == groups[0]:
                channels = self._groups_of(first, columns)
                reads = tuple(Region(values, head, channel) for channel in channels)
                loads = [
                    Load(keys * len(channels), "weights", reads),
                    self.layout.column_parameters(columns),
                ]
            # The row sums are stored behind the codes.
            rows = (Region(codes, head, group),)
            loads += self.rows_with_parameters(keys, rows, rows)
            at = head * op.cols + first
            writes = Region(index, 0, group, at, at + columns)
            once = ("weights", "column_parameters")
            return self.run(index, columns, loads, group, groups, writes, once, reciprocal=True)

        return JobLoop(make, op.cols, tile, groups, op.heads, alike=not tile % self.lines)

    def _groups_of(self, first: int, columns: int) -> range:
        """Return the row groups of another tensor that columns of this one are."""
        return range(first // self.lines, folds(first + columns, self.lines))

    def rows_with_parameters(
        self, words: int, rows: tuple[Region, ...], parameters: tuple[Region, ...]
    ) -> list[Load]:
        """Return the loads of rows and of the parameters of each line: bias and shift, or the row sum."""
        return [
            Load(words, "rows", rows, closes=False),
            Load(LINE_PARAMETER_WORDS, "rows", parameters, opens=False),
        ]


def weight_rows(machine: Machine, options: LoadStore) -> int:
    """Return the depth of one weight slot, in rows of ``lanes`` terms per column of a group."""
    array = machine.chunks.mac_array
    return machine.buffers.weight.size_bytes // options.slots // array.macs_per_cycle
