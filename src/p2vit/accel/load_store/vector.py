"""Jobs of the vector engine of a load–store machine: patches, tables, adds, LayerNorm, softmax."""

from p2vit.accel.chunks.gemm import folds
from p2vit.accel.load_store.formats import SUM_BYTES, TABLE_WORDS
from p2vit.accel.load_store.jobs import EngineJob, Load, Region
from p2vit.accel.load_store.loops import JobLoop
from p2vit.accel.load_store.section_layout import SectionLayout, words_each
from p2vit.accel.load_store.steps import Step
from p2vit.accel.machine.description import Machine, RowChunk, StreamChunk
from p2vit.accel.workload.operations import Operation


class VectorJobs:
    """Makes the jobs of operations that run on the vector engine.

    Args:
        layout: Layout of the section.
        norm_table: Words of the root table that the first LayerNorm loads; 0 if it is already loaded.
    """

    def __init__(self, layout: SectionLayout, norm_table: int) -> None:
        self.layout, self.norm_table = layout, norm_table
        self.machine, self.options, self.steps = layout.machine, layout.options, layout.steps
        self.lines = layout.lines
        norms = (index for index, step in enumerate(self.steps) if step.operation.kind == "layernorm")
        self.first_norm = next(norms, -1)

    def tile(self, step: Step, followed: int | None) -> int:
        """Return the columns per tile of an operation.

        Args:
            step: Operation.
            followed: Columns per tile of the linear layer that the operation reads; None if it reads none.
        """
        op, most = step.operation, step.operation.cols
        if step.form == "gather":
            most = max(1, self.options.vector_columns // step.run) * step.run
        elif step.form == "rows":
            if step.reads and op.kind not in ("layernorm", "affine"):
                most = followed or op.cols
            if op.kind == "lookup" and op.tables > 1:
                width = op.cols // op.tables
                held = min(most // width, self.options.vector_columns // width, self.options.tables)
                most = max(1, held) * width
        elif step.form == "softmax":
            return op.cols
        return min(most, self.options.vector_columns, op.cols)

    def loop(self, index: int, step: Step, tile: int) -> JobLoop:
        """Return the jobs of an operation.

        Args:
            index: Position of the operation in the section.
            step: Operation.
            tile: Columns per tile, as `tile` gives them.
        """
        make = {
            "gather": self.gather,
            "softmax": self.softmax,
            "rows": self.streamed,
            "sum": self.sum_tokens,
        }
        return make[step.form](index, step, tile)

    def run(
        self, index: int, columns: int, loads: list[Load], writes: Region | None, store_words: int,
        once: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()), scalar_cycles: int = 0,
    ) -> EngineJob:  # fmt: skip
        """Make one run of the vector engine; ``once`` gives further buffers that it takes and releases."""
        op = self.steps[index].operation
        chunk = serving_chunk(self.machine, op)
        passes = chunk.passes if isinstance(chunk, RowChunk) else 1
        return EngineJob(
            index, "vector", tuple(loads), passes * columns * folds(self.lines, chunk.lanes), (),
            chunk.pipeline_depth_cycles + scalar_cycles, ("vector", *once[0]), ("vector", *once[1]),
            store_words, writes,
        )  # fmt: skip

    def streamed(self, index: int, step: Step, tile: int) -> JobLoop:
        """Return the jobs of a LayerNorm, table, add, affine or token assembly: tile by tile, group by group."""
        op = step.operation
        groups = self.layout.groups(step)
        tables = op.tables if op.kind == "lookup" else 0
        own = "table" if tables else "vector_parameters"
        norm_table = self.norm_table if index == self.first_norm else 0
        per_row = self.options.norm_row_cycles if op.kind == "layernorm" else 0

        def make(head: int, first: int, columns: int, group: int) -> EngineJob:
            loads = []
            if group == groups[0]:
                loads = self.constants(op, columns)
                if norm_table and not first:
                    loads.insert(0, Load(norm_table, "norm_table", opens=False, closes=False))
            loads += self.operands(step, group, first, columns)
            taken = (own,) if group == groups[0] and not tables else ()
            released = (own,) if group == groups[-1] else ()
            writes = Region(index, 0, group, first, first + columns)
            scalar = per_row * rows_in_group(step, group, self.lines)
            return self.run(
                index, columns, loads, writes, columns * words_each(op), (taken, released), scalar
            )

        return JobLoop(make, op.cols, tile, groups)

    def constants(self, op: Operation, columns: int) -> list[Load]:
        """Return the loads of constants before the first row group of a tile."""
        if op.kind == "lookup":
            used = columns // (op.cols // op.tables) if op.tables > 1 else 1
            return [Load(TABLE_WORDS * used, "table")]
        return [self.layout.column_parameters(columns, "vector_parameters")]

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

    def softmax(self, index: int, step: Step, tile: int) -> JobLoop:
        """Return the jobs of a softmax: two passes over the keys of a row group; the row sum follows the codes."""
        op = step.operation

        def make(head: int, first: int, columns: int, group: int) -> EngineJob:
            reads = self.layout.region(step, 0, group, head=head)
            loads = [Load(columns * step.widths[0], "vector", reads)]
            writes = Region(index, head, group)
            return self.run(index, columns, loads, writes, columns * words_each(op) + SUM_BYTES)

        return JobLoop(make, op.cols, tile, self.layout.groups(step), op.heads, own_heads=True)

    def gather(self, index: int, step: Step, tile: int) -> JobLoop:
        """Return the jobs that gather pixels into patches, one byte per cycle; a row of pixels stays together."""
        op, lines = step.operation, self.lines

        def make(head: int, first: int, columns: int, group: int) -> EngineJob:
            rows = rows_in_group(step, group, lines) - max(0, step.first_row - group * lines)
            load = Load(columns * rows, "vector", gather=True)
            writes = Region(index, 0, group, first, first + columns)
            return self.run(index, columns, [load], writes, columns * words_each(op))

        return JobLoop(make, op.cols, tile, self.layout.groups(step), by_group=True)

    def sum_tokens(self, index: int, step: Step, tile: int) -> JobLoop:
        """Return the jobs of a sum over rows. To select one token, the sum has that token only."""
        op = step.operation
        groups = range(step.start // self.lines, folds(step.start + op.rows, self.lines))

        def make(head: int, first: int, columns: int, group: int) -> EngineJob:
            begins, ends = group == groups[0], group == groups[-1]
            loads = [self.layout.column_parameters(columns, "vector_parameters")] if begins else []
            reads = self.layout.region(step, 0, group, first, first + columns)
            loads.append(Load(columns * step.widths[0], "vector", reads))
            once = ("vector_parameters",) if begins else (), ("vector_parameters",) if ends else ()
            writes = Region(index, 0, 0, first, first + columns) if ends else None
            return self.run(index, columns, loads, writes, columns * words_each(op) if ends else 0, once)

        return JobLoop(make, op.cols, tile, groups, completes=len(groups) - 1)


def rows_in_group(step: Step, group: int, lines: int) -> int:
    """Return the line after the last row of an operation in a row group."""
    return min(lines, step.first_row + step.operation.rows - group * lines)


def serving_chunk(machine: Machine, op: Operation) -> RowChunk | StreamChunk:
    """Return the chunk description that gives lanes, passes and depth of a vector operation."""
    chunks = machine.chunks
    named: dict[str, RowChunk | StreamChunk] = {
        "layernorm": chunks.layernorm,
        "softmax": chunks.softmax,
        "lookup": chunks.gelu,
    }
    return named.get(op.kind, chunks.elementwise)
