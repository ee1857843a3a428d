"""Jobs of the vector engine of a load–store machine: patches, tables, adds, LayerNorm, softmax."""

from collections.abc import Iterator

from p2vit.accel.chunks.gemm import folds
from p2vit.accel.load_store.jobs import EngineJob, Load, Region
from p2vit.accel.load_store.section_layout import SUM_BYTES, TABLE_WORDS, SectionLayout, words_each
from p2vit.accel.machine.description import Machine, RowChunk, StreamChunk
from p2vit.accel.workload.operations import Operation


class VectorJobs:
    """Makes the jobs of operations that run on the vector engine.

    Args:
        layout: Layout of the section; the jobs are added to it.
        norm_table: Words of the root table that the first LayerNorm loads; 0 if it is already loaded.
    """

    def __init__(self, layout: SectionLayout, norm_table: int) -> None:
        self.layout, self.norm_table = layout, norm_table
        self.machine, self.options, self.operations = layout.machine, layout.options, layout.operations
        self.lines = layout.lines

    def vector(
        self, index: int, columns: int, loads: list[Load], writes: Region | None, store_words: int,
        once: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
    ) -> None:  # fmt: skip
        """Add one run of the vector engine; ``once`` gives further buffers that it takes and releases."""
        op = self.operations[index]
        chunk = serving_chunk(self.machine, op)
        passes = chunk.passes if isinstance(chunk, RowChunk) else 1
        self.layout.jobs.append(
            EngineJob(
                index, "vector", tuple(loads), passes * columns * folds(self.lines, chunk.lanes), (),
                chunk.pipeline_depth_cycles, ("vector", *once[0]), ("vector", *once[1]), store_words, writes,
            )
        )  # fmt: skip

    def column_tiles(self, index: int, most: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield the column tiles of an operation, at most ``most`` columns each."""
        cols = self.operations[index].cols
        return self.layout.tiles_of(index, cols, min(most or cols, self.options.vector_columns, cols))

    def streamed(self, index: int) -> None:
        """Add the jobs of a LayerNorm, table, add, affine or token assembly: tile by tile, group by group."""
        op = self.operations[index]
        groups = self.layout.groups(index)
        most = (
            None if op.kind in ("layernorm", "affine") else self.layout.tiles.get(self.layout.source(index))
        )
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
        """Return the loads of constants before the first row group of a tile."""
        op = self.operations[index]
        if op.kind == "lookup":
            used = columns // (op.cols // op.tables) if op.tables > 1 else 1
            return [Load(TABLE_WORDS * used, "table")]
        loads = [self.layout.column_parameters(columns, "vector_parameters")]
        if op.kind == "layernorm" and self.norm_table:
            loads.insert(0, Load(self.norm_table, "norm_table", opens=False, closes=False))
            self.norm_table = 0
        return loads

    def operands(self, index: int, group: int, first: int, columns: int) -> list[Load]:
        """Return the loads of a row group: one operand, or two operands into the same slot."""
        op = self.operations[index]
        words, part = columns * folds(op.input_bits, 8), (group, first, first + columns)
        reads = self.layout.rows(index, *part)
        if op.kind == "tokens":  # patches, then prefix tokens and position constants
            return [Load(words, "vector", reads, closes=False), Load(words, "vector", opens=False)]
        if op.kind == "add":  # the residual stream, then the other operand
            stream = next((i for i in range(index - 2, -1, -1) if self.operations[i].kind == "add"), -1)
            residual = (Region(stream, 0, *part),)
            return [Load(words, "vector", residual, closes=False), Load(words, "vector", reads, opens=False)]
        return [Load(words, "vector", reads)]

    def softmax(self, index: int) -> None:
        """Add the jobs of a softmax: two passes over the keys of a row group; the row sum follows the codes."""
        op = self.operations[index]
        for head in range(op.heads):
            for group in self.layout.groups(index):
                loads = [
                    Load(
                        op.cols * folds(op.input_bits, 8), "vector", self.layout.rows(index, group, head=head)
                    )
                ]
                writes = Region(index, head, group)
                self.vector(index, op.cols, loads, writes, op.cols * words_each(op) + SUM_BYTES)

    def gather(self, index: int) -> None:
        """Add the jobs that gather pixels into patches, one byte per cycle."""
        op = self.operations[index]
        prefix = self.layout.prefix(index)
        for group in self.layout.groups(index):
            first = max(0, prefix - group * self.lines)
            rows = min(self.lines, prefix + op.rows - group * self.lines) - first
            for start, columns in self.column_tiles(index):
                load = Load(columns * rows, "vector", gather=True)
                writes = Region(index, 0, group, start, start + columns)
                self.vector(index, columns, [load], writes, columns * words_each(op))

    def sum_tokens(self, index: int) -> None:
        """Add the jobs of a sum over rows. To select one token, the sum has that token only."""
        op = self.operations[index]
        assert self.layout.before is not None
        source = self.operations[index - 1] if index else self.layout.before
        start = source.rows - op.rows if op.kind == "pool" else 0
        groups = range(start // self.lines, folds(start + op.rows, self.lines))
        for first, columns in self.column_tiles(index):
            for group in groups:
                begins, ends = group == groups[0], group == groups[-1]
                loads = [self.layout.column_parameters(columns, "vector_parameters")] if begins else []
                reads = self.layout.rows(index, group, first, first + columns)
                loads.append(Load(columns * folds(op.input_bits, 8), "vector", reads))
                once = ("vector_parameters",) if begins else (), ("vector_parameters",) if ends else ()
                writes = Region(index, 0, 0, first, first + columns) if ends else None
                self.vector(index, columns, loads, writes, columns * words_each(op) if ends else 0, once)


def serving_chunk(machine: Machine, op: Operation) -> RowChunk | StreamChunk:
    """Return the chunk description that gives lanes, passes and depth of a vector operation."""
    chunks = machine.chunks
    named: dict[str, RowChunk | StreamChunk] = {
        "layernorm": chunks.layernorm,
        "softmax": chunks.softmax,
        "lookup": chunks.gelu,
    }
    return named.get(op.kind, chunks.elementwise)
