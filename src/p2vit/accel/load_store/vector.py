"""Jobs of the vector engine of a load–store machine: patches, tables, adds, LayerNorm, softmax."""

from collections.abc import Iterator

from p2vit.accel.chunks.gemm import folds
from p2vit.accel.load_store.formats import SUM_BYTES, TABLE_WORDS
from p2vit.accel.load_store.jobs import EngineJob, Load, Region
from p2vit.accel.load_store.section_layout import SectionLayout, words_each
from p2vit.accel.load_store.steps import Step
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
        self.machine, self.options, self.steps = layout.machine, layout.options, layout.steps
        self.lines = layout.lines

    def vector(
        self, index: int, columns: int, loads: list[Load], writes: Region | None, store_words: int,
        once: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
    ) -> None:  # fmt: skip
        """Add one run of the vector engine; ``once`` gives further buffers that it takes and releases."""
        op = self.steps[index].operation
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
        cols = self.steps[index].operation.cols
        return self.layout.tiles_of(index, cols, min(most or cols, self.options.vector_columns, cols))

    def streamed(self, index: int, step: Step) -> None:
        """Add the jobs of a LayerNorm, table, add, affine or token assembly: tile by tile, group by group."""
        op = step.operation
        groups = self.layout.groups(step)
        follows = bool(step.reads) and op.kind not in ("layernorm", "affine")
        most = self.layout.tiles.get(step.reads[-1]) if follows else None
        tables = op.tables if op.kind == "lookup" else 0
        if tables > 1:
            width = op.cols // tables
            held = min((most or op.cols) // width, self.options.vector_columns // width, self.options.tables)
            most = max(1, held) * width
        for first, columns in self.column_tiles(index, most):
            for group in groups:
                loads = self.constants(op, columns) if group == groups[0] else []
                loads += self.operands(step, group, first, columns)
                own = "table" if tables else "vector_parameters"
                taken = (own,) if group == groups[0] and not tables else ()
                released = (own,) if group == groups[-1] else ()
                writes = Region(index, 0, group, first, first + columns)
                self.vector(index, columns, loads, writes, columns * words_each(op), (taken, released))

    def constants(self, op: Operation, columns: int) -> list[Load]:
        """Return the loads of constants before the first row group of a tile."""
        if op.kind == "lookup":
            used = columns // (op.cols // op.tables) if op.tables > 1 else 1
            return [Load(TABLE_WORDS * used, "table")]
        loads = [self.layout.column_parameters(columns, "vector_parameters")]
        if op.kind == "layernorm" and self.norm_table:
            loads.insert(0, Load(self.norm_table, "norm_table", opens=False, closes=False))
            self.norm_table = 0
        return loads

    def operands(self, step: Step, group: int, first: int, columns: int) -> list[Load]:
        """Return the loads of a row group: one operand, or two operands into the same slot."""
        part, words = (group, first, first + columns), [columns * width for width in step.widths]
        reads = self.layout.region(step, 0, *part)
        if step.operation.kind == "tokens":  # patches, then prefix tokens and position constants
            return [Load(words[0], "vector", reads, closes=False), Load(words[1], "vector", opens=False)]
        if step.operation.kind == "add":
            other = self.layout.region(step, 1, *part)
            return [
                Load(words[0], "vector", reads, closes=False),
                Load(words[1], "vector", other, opens=False),
            ]
        return [Load(words[0], "vector", reads)]

    def softmax(self, index: int, step: Step) -> None:
        """Add the jobs of a softmax: two passes over the keys of a row group; the row sum follows the codes."""
        op = step.operation
        for head in range(op.heads):
            for group in self.layout.groups(step):
                reads = self.layout.region(step, 0, group, head=head)
                loads = [Load(op.cols * step.widths[0], "vector", reads)]
                writes = Region(index, head, group)
                self.vector(index, op.cols, loads, writes, op.cols * words_each(op) + SUM_BYTES)

    def gather(self, index: int, step: Step) -> None:
        """Add the jobs that gather pixels into patches, one byte per cycle; a row of pixels stays together."""
        op, lines = step.operation, self.lines
        most = max(1, self.options.vector_columns // step.run) * step.run
        for group in self.layout.groups(step):
            first = max(0, step.first_row - group * lines)
            rows = min(lines, step.first_row + op.rows - group * lines) - first
            for start, columns in self.column_tiles(index, most):
                load = Load(columns * rows, "vector", gather=True)
                writes = Region(index, 0, group, start, start + columns)
                self.vector(index, columns, [load], writes, columns * words_each(op))

    def sum_tokens(self, index: int, step: Step) -> None:
        """Add the jobs of a sum over rows. To select one token, the sum has that token only."""
        op = step.operation
        groups = range(step.start // self.lines, folds(step.start + op.rows, self.lines))
        for first, columns in self.column_tiles(index):
            for group in groups:
                begins, ends = group == groups[0], group == groups[-1]
                loads = [self.layout.column_parameters(columns, "vector_parameters")] if begins else []
                reads = self.layout.region(step, 0, group, first, first + columns)
                loads.append(Load(columns * step.widths[0], "vector", reads))
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
