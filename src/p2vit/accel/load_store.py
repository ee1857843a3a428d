"""The dataflow of a load–store machine: every operation as units of work, layer by layer, in program order.

Rows of a linear stand still, tile by tile of its columns; values are computed the other way round, channels
standing still and tokens as columns, so that they come out channel by channel, as attention × V wants them.
LayerNorm, softmax, tables and adds take a group of rows at a time. What order the engines take them in is
decided when they are walked (`load_store_events`). The generated accelerator works this way (docs/rtl-top.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from p2vit.accel.costs import GELU, LAYERNORM, REQUANT, SOFTMAX, Cost, cost_of
from p2vit.accel.gemm import folds
from p2vit.accel.machine import LoadStore, Machine, RowChunk, StreamChunk
from p2vit.accel.memory import Ends, MemoryPlan
from p2vit.accel.load_store_memory import misfits_of
from p2vit.accel.units import Load, Region, Unit
from p2vit.accel.walk import Engine
from p2vit.accel.workload import Operation

#: Formats of the generated accelerator: bytes of a column's parameters (bias, gain, shifts), words of a line's
#: (bias or row sum, shift), bytes of the row sum behind a softmax's codes, entries of a table.
COLUMN_PARAMETER_BYTES, LINE_PARAMETER_WORDS, SUM_BYTES, TABLE_WORDS = 8, 5, 4, 256
WEIGHT_PORT = "weight buffer: too few bytes per cycle"
SLOW_REQUANT = f"{REQUANT}: slower than the array"
EXPOSED_REQUANT = f"{REQUANT}: not hidden"


def load_store_section(
    machine: Machine, operations: Sequence[Operation], before: Operation | None, first_norm: bool
) -> tuple[tuple[Unit, ...], tuple[Cost, ...], MemoryPlan]:
    """Units, costs and memory of one section.

    Args:
        machine: A load–store machine.
        operations: The section's.
        before: The operation that the section's first reads; None at the start.
        first_norm: Whether no LayerNorm stands before the section: the first loads the table of roots.

    Returns:
        Units in program order; no units where it does not fit, and then the plan has the reasons.
    """
    options = machine.load_store
    assert options is not None
    misfits = misfits_of(machine, options, operations)
    costs = [cost_of(machine, op) for op in operations]
    if misfits:
        none = (0,) * len(operations)
        return (), tuple(costs), MemoryPlan((1,) * len(operations), none, none, 0, misfits)
    builder = _Builder(machine, options, operations, before, first_norm)
    for index in range(len(operations)):
        builder.operation(index)
    word = machine.chunks.mac_array.lines
    fetched, spilled = [0] * len(operations), [0] * len(operations)
    work, slowed = [0] * len(operations), [0] * len(operations)
    for unit in builder.units:
        for load in unit.loads:
            (spilled if load.reads else fetched)[unit.operation] += load.words * word
        spilled[unit.operation] += unit.store_words * word
        work[unit.operation] += unit.work
        slowed[unit.operation] += sum(cycles for _, cycles in unit.slowed)
    own = tuple(
        replace(cost, busy_cycles=busy, starved_cycles=slow, exposed_requant_cycles=0)
        for cost, busy, slow in zip(costs, work, slowed, strict=True)
    )
    memory = MemoryPlan(tuple(builder.passes), tuple(fetched), tuple(spilled), 0, ())
    return tuple(builder.units), own, memory


class _Builder:
    """Emits the units of one section."""

    def __init__(
        self,
        machine: Machine,
        options: LoadStore,
        operations: Sequence[Operation],
        before: Operation | None,
        first_norm: bool,
    ) -> None:
        self.machine, self.options = machine, options
        self.norm_table = first_norm and options.norm_table_words
        self.operations, self.before = operations, before
        array = machine.chunks.mac_array
        self.lines, self.lanes = array.lines, array.lanes_per_line
        self.weight_rows = weight_rows(machine, options)
        self.units: list[Unit] = []
        self.passes = [1] * len(operations)
        self.tiles: dict[int, int] = {}

    def operation(self, index: int) -> None:
        """Emit one operation."""
        op = self.operations[index]
        match op.kind:
            case "linear" if self._attention_of(index) == "v":
                self.values(index)
            case "linear":
                self.linear(index)
            case "scores":
                self.scores(index)
            case "attention_values":
                self.attention(index)
            case "softmax":
                self.softmax(index)
            case "pool":
                self.sum_tokens(index)
            case "move" if op.rows == 1:
                self.sum_tokens(index)
            case "move":
                self.gather(index)
            case _:
                self.streamed(index)

    # --- which rows

    def groups(self, index: int) -> range:
        """Row groups of an operation: patches leave room for the prefix tokens that are put in front of them."""
        op = self.operations[index]
        first = self._prefix(index)
        return range(first // self.lines, folds(first + op.rows, self.lines))

    def _prefix(self, index: int) -> int:
        """Rows left free before an operation's first."""
        for later in self.operations[index:]:
            if later.kind == "tokens":
                return max(0, later.rows - self.operations[index].rows)
            if later.kind not in ("move", "linear", "lookup"):
                break
        return 0

    def _attention_of(self, index: int) -> str:
        """Which of q, k and v a linear is; empty where it is neither."""
        for ahead, name in enumerate("vkq", start=1):
            later = self.operations[index + ahead : index + ahead + 1]
            if later and later[0].kind == "scores":
                return name
        return ""

    def source(self, index: int) -> int:
        """What an operation reads; q, k and v all read what stands before q."""
        return index - {"q": 1, "k": 2, "v": 3}.get(self._attention_of(index), 1)

    def rows(self, index: int, group: int, first: int = 0, end: int = 1 << 30, head: int = 0) -> tuple[Region, ...]:
        """The region of an operation's source; pixels have none."""
        source = self.source(index)
        if source < 0 and self.before is None:
            return ()
        return (Region(source, head, group, first, end),)

    # --- the array

    def tile(self, chunks: int, columns: int) -> int:
        """Columns per run: whole column groups that fit the weight, the output and the parameter buffers."""
        lines, most = self.lines, self.options.columns_per_run
        whole = min(self.weight_rows // chunks * lines, most // lines * lines) or most
        together = self.options.table_columns
        if whole > together and together % lines == 0:
            whole -= whole % together
        return min(columns, whole)

    def tiles_of(self, index: int, columns: int, tile: int) -> Iterator[tuple[int, int]]:
        """First column and columns of every tile."""
        self.passes[index] = folds(columns, tile)
        for first in range(0, columns, tile):
            yield first, min(tile, columns - first)

    def weight_words(self, op: Operation) -> int:
        """Words of a group of columns of weights; two 4-bit weights share a byte."""
        return folds(op.inner, 2) if op.weight_bits <= 4 else op.inner

    def run(
        self, index: int, columns: int, loads: list[Load], group: int, groups: range, writes: Region,
        once: tuple[str, ...], reciprocal: bool = False,
    ) -> None:  # fmt: skip
        """One run of the array and its store; ``once`` buffers serve all groups."""
        op, chunks = self.operations[index], self.machine.chunks
        step = folds(op.inner, self.lanes)
        slowed = []
        port = self.machine.buffers.weight.bytes_per_cycle
        read = folds(op.inner * (op.weight_bits or 8), 8)
        if (starved := folds(read, port) - step) > 0:
            slowed.append((WEIGHT_PORT, columns * starved))
        if op.requantized:
            lane = chunks.requantization
            each = folds(self.lines * lane.initiation_interval_cycles, lane.lanes)
            if not self.machine.pipelining.intra_layer:
                slowed.append((EXPOSED_REQUANT, columns * (each - 1 + lane.pipeline_depth_cycles)))
            elif each > step:
                slowed.append((SLOW_REQUANT, columns * (each - step)))
        overhead = chunks.mac_array.pipeline_depth_cycles + (self.options.reciprocal_cycles if reciprocal else 0)
        self.units.append(
            Unit(
                index, "array", tuple(loads), columns * step, tuple(slowed), overhead,
                ("rows", *(once if group == groups[0] else ())),
                ("rows", *(once if group == groups[-1] else ())),
                columns * words_each(op), writes,
            )
        )  # fmt: skip

    def linear(self, index: int) -> None:
        """Rows stand still, the outputs are the columns."""
        op = self.operations[index]
        words = self.weight_words(op)
        tile = self.tiles[index] = self.tile(folds(op.inner, self.lanes), op.cols)
        groups = self.groups(index)
        for first, columns in self.tiles_of(index, op.cols, tile):
            for group in groups:
                loads = []
                if group == groups[0]:
                    loads = [Load(words * folds(columns, self.lines), "weights"), self.column_parameters(columns)]
                loads.append(Load(op.inner, "rows", self.rows(index, group)))
                writes = Region(index, 0, group, first, first + columns)
                self.run(index, columns, loads, group, groups, writes, ("weights", "column_parameters"))

    def values(self, index: int) -> None:
        """The layer's channels stand still, head by head; the tokens are the columns."""
        op = self.operations[index]
        heads = next(later.heads for later in self.operations[index:] if later.kind == "scores")
        words, per_head = self.weight_words(op), folds(op.cols // heads, self.lines)
        every = range(heads * per_head)
        tile = self.tile(folds(op.inner, self.lanes), op.rows)
        for first, columns in self.tiles_of(index, op.rows, tile):
            tokens = range(first // self.lines, folds(first + columns, self.lines))
            for group in every:
                loads = []
                if group == every[0]:
                    reads = tuple(region for token in tokens for region in self.rows(index, token))
                    loads = [Load(op.inner * len(tokens), "weights", reads)]
                loads += self.rows_with_parameters(words, ())
                head, inside = divmod(group, per_head)
                writes = Region(index, head, inside, first, first + columns)
                self.run(index, columns, loads, group, every, writes, ("weights",))

    def scores(self, index: int) -> None:
        """Queries stand still, keys are the columns; one product per head."""
        op = self.operations[index]
        depth, groups = op.inner, range(folds(op.rows, self.lines))
        tile = self.tile(folds(depth, self.lanes), op.cols)
        for head in range(op.heads):
            part = (head * depth, head * depth + depth)
            for first, columns in self.tiles_of(index, op.cols, tile):
                keys = range(first // self.lines, folds(first + columns, self.lines))
                for group in groups:
                    loads = []
                    if group == groups[0]:
                        reads = tuple(Region(index - 2, 0, key, *part) for key in keys)
                        loads = [Load(depth * len(keys), "weights", reads)]
                    loads.append(Load(depth, "rows", (Region(index - 3, 0, group, *part),)))
                    writes = Region(index, head, group, first, first + columns)
                    self.run(index, columns, loads, group, groups, writes, ("weights",))

    def attention(self, index: int) -> None:
        """Codes stand still with their row sums, the values' channels are the columns."""
        op = self.operations[index]
        keys, groups = op.inner, range(folds(op.rows, self.lines))
        values = next(i for i in range(index, -1, -1) if self.operations[i].kind == "scores") - 1
        tile = self.tile(folds(keys, self.lanes), op.cols)
        for head in range(op.heads):
            for first, columns in self.tiles_of(index, op.cols, tile):
                channels = range(first // self.lines, folds(first + columns, self.lines))
                for group in groups:
                    loads = []
                    if group == groups[0]:
                        reads = tuple(Region(values, head, channel) for channel in channels)
                        loads = [Load(keys * len(channels), "weights", reads), self.column_parameters(columns)]
                    loads += self.rows_with_parameters(keys, (Region(index - 1, head, group),))
                    at = head * op.cols + first
                    writes = Region(index, 0, group, at, at + columns)
                    once = ("weights", "column_parameters")
                    self.run(index, columns, loads, group, groups, writes, once, reciprocal=True)

    def rows_with_parameters(self, words: int, reads: tuple[Region, ...]) -> list[Load]:
        """Rows, and what belongs to each line: bias and shift, or the row sum."""
        return [
            Load(words, "rows", reads, closes=False),
            Load(LINE_PARAMETER_WORDS, "rows", reads, opens=False),
        ]

    def column_parameters(self, columns: int, buffer: str = "column_parameters") -> Load:
        """Parameters of a tile's columns."""
        return Load(columns * folds(COLUMN_PARAMETER_BYTES, self.lines), buffer)

    # --- the vector engine

    def vector(
        self, index: int, columns: int, loads: list[Load], writes: Region | None, store_words: int,
        once: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
    ) -> None:  # fmt: skip
        """One run of the vector engine on one slot of its buffer; ``once``: what else it takes and releases."""
        op = self.operations[index]
        unit = vector_chunk(self.machine, op)
        passes = unit.passes if isinstance(unit, RowChunk) else 1
        self.units.append(
            Unit(
                index, "vector", tuple(loads), passes * columns * folds(self.lines, unit.lanes), (),
                unit.pipeline_depth_cycles, ("vector", *once[0]), ("vector", *once[1]), store_words, writes,
            )
        )  # fmt: skip

    def column_tiles(self, index: int, most: int | None = None) -> Iterator[tuple[int, int]]:
        """Column tiles: as its producer's where it follows it tile by tile."""
        cols = self.operations[index].cols
        return self.tiles_of(index, cols, min(most or cols, self.options.vector_columns, cols))

    def streamed(self, index: int) -> None:
        """LayerNorm, table, add, affine, token assembly: group by group, tile by tile."""
        op = self.operations[index]
        groups = self.groups(index)
        most = None if op.kind in ("layernorm", "affine") else self.tiles.get(self.source(index))
        tables = op.tables if op.kind == "lookup" else 0
        if tables > 1:
            width = op.cols // tables
            held = min((most or op.cols) // width, self.options.vector_columns // width, self.options.tables)
            most = max(1, held) * width
        for first, columns in self.column_tiles(index, most):
            for group in groups:
                loads = self.constants(index, columns) if group == groups[0] else []
                loads += self.operands(index, group, first, columns)
                own = "table" if tables else "vector_parameters"
                taken = (own,) if group == groups[0] and not tables else ()
                released = (own,) if group == groups[-1] else ()
                writes = Region(index, 0, group, first, first + columns)
                self.vector(index, columns, loads, writes, columns * words_each(op), (taken, released))

    def constants(self, index: int, columns: int) -> list[Load]:
        """What a tile's first group loads besides its rows."""
        op = self.operations[index]
        if op.kind == "lookup":
            used = columns // (op.cols // op.tables) if op.tables > 1 else 1
            return [Load(TABLE_WORDS * used, "table")]
        loads = [self.column_parameters(columns, "vector_parameters")]
        if op.kind == "layernorm" and self.norm_table:
            loads.insert(0, Load(self.norm_table, "norm_table", opens=False, closes=False))
            self.norm_table = 0
        return loads

    def operands(self, index: int, group: int, first: int, columns: int) -> list[Load]:
        """Rows of a group: one operand, or two into the same slot."""
        op = self.operations[index]
        words, part = columns * folds(op.input_bits, 8), (group, first, first + columns)
        reads = self.rows(index, *part)
        if op.kind == "tokens":  # patches, then prefix and position constants
            return [Load(words, "vector", reads, closes=False), Load(words, "vector", opens=False)]
        if op.kind == "add":  # the residual stream, then what is added to it
            stream = next((i for i in range(index - 2, -1, -1) if self.operations[i].kind == "add"), -1)
            residual = (Region(stream, 0, *part),)
            return [Load(words, "vector", residual, closes=False), Load(words, "vector", reads, opens=False)]
        return [Load(words, "vector", reads)]

    def softmax(self, index: int) -> None:
        """Two passes over a group's keys; the row sum follows the codes."""
        op = self.operations[index]
        for head in range(op.heads):
            for group in self.groups(index):
                loads = [Load(op.cols * folds(op.input_bits, 8), "vector", self.rows(index, group, head=head))]
                writes = Region(index, head, group)
                self.vector(index, op.cols, loads, writes, op.cols * words_each(op) + SUM_BYTES)

    def gather(self, index: int) -> None:
        """Pixels into patches: a byte per cycle."""
        op = self.operations[index]
        prefix = self._prefix(index)
        for group in self.groups(index):
            first = max(0, prefix - group * self.lines)
            rows = min(self.lines, prefix + op.rows - group * self.lines) - first
            for start, columns in self.column_tiles(index):
                load = Load(columns * rows, "vector", gather=True)
                writes = Region(index, 0, group, start, start + columns)
                self.vector(index, columns, [load], writes, columns * words_each(op))

    def sum_tokens(self, index: int) -> None:
        """A sum over rows and groups; taking one token is the sum of that token alone."""
        op = self.operations[index]
        assert self.before is not None
        source = self.operations[index - 1] if index else self.before
        start = source.rows - op.rows if op.kind == "pool" else 0
        groups = range(start // self.lines, folds(start + op.rows, self.lines))
        for first, columns in self.column_tiles(index):
            for group in groups:
                begins, ends = group == groups[0], group == groups[-1]
                loads = [self.column_parameters(columns, "vector_parameters")] if begins else []
                reads = self.rows(index, group, first, first + columns)
                loads.append(Load(columns * folds(op.input_bits, 8), "vector", reads))
                once = ("vector_parameters",) if begins else (), ("vector_parameters",) if ends else ()
                writes = Region(index, 0, 0, first, first + columns) if ends else None
                self.vector(index, columns, loads, writes, columns * words_each(op) if ends else 0, once)


def vector_chunk(machine: Machine, op: Operation) -> RowChunk | StreamChunk:
    """Lanes, passes and depth of what runs on the vector engine."""
    chunks = machine.chunks
    named = {"layernorm": chunks.layernorm, "softmax": chunks.softmax, "lookup": chunks.gelu}
    return named.get(op.kind, chunks.elementwise)


def weight_rows(machine: Machine, options: LoadStore) -> int:
    """Rows of ``lanes`` terms of one slot of one line's weight bank."""
    array = machine.chunks.mac_array
    return machine.buffers.weight.size_bytes // options.slots // array.macs_per_cycle


def words_each(op: Operation) -> int:
    """Words of a number of every line: its bytes."""
    return folds(op.output_bits, 8)
