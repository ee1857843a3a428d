"""From a program to the compiled engine's plan: buffers, stages and steps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from p2vit.engine.native_graph import Graph, Unit, in_windows, units_of
from p2vit.engine.native_weights import Weights, biased_tables, column_tables, int32
from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    ConstantTokens,
    GatherTokens,
    LayerNorm,
    Linear,
    Lookup,
    Patchify,
    ScoreBias,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.numerics.attention import QUOTIENT_FRACTION
from p2vit.numerics.layernorm import squares_shift
from p2vit.program.graph import PIXELS, IntegerProgram, Node, TensorSpec


@dataclass(frozen=True)
class Value:
    """Where a tensor lies.

    Attributes:
        buffer: The plan's buffer.
        column: Its first column there: q, k and v lie side by side.
        columns: Its own columns.
    """

    buffer: int
    column: int
    columns: int


class PlanBuilder:
    """Emits the steps of one program for one set of wanted tensors.

    Attributes:
        plan: The compiled plan.
        outputs: Specs of the tensors that it writes out, in the order of the plan's outputs.
    """

    def __init__(self, program: IntegerProgram, wanted: frozenset[str], plan: Any, weights: Weights) -> None:
        self.program = program
        self.plan = plan
        self.weights = weights
        self.outputs: list[TensorSpec] = []
        self._graph = Graph(program, wanted)
        self._values: dict[str, Value] = {}
        self._packs: dict[tuple[str, str], int] = {}
        self._output_index: dict[str, int] = {}
        self._stage: tuple[int, int] | None = None
        self._fresh: set[str] = set()  # tensors written in the current stage
        self._windowed: set[str] = set()  # nodes of attention in windows, whose keys are not packed before
        self._shared: set[str] = set()  # those of them whose rows other threads may hold

    def build(self) -> None:
        """Emit everything and make the plan ready to run.

        Raises:
            ValueError: naming the node that the engine cannot run.
        """
        for name in (node.name for node in self.program.nodes if node.name in self._graph.wanted):
            spec = self.program.tensors[name]
            self._output_index[name] = self.plan.output(int(np.prod(spec.shape)) * spec.dtype.itemsize)
            self.outputs.append(spec)
        units = units_of(self._graph, self.weights.exact)
        for unit in units:
            if isinstance(unit.operator, Scores) and in_windows(unit.nodes):
                self._windowed.update(unit.writes)
        for unit in units:
            try:
                self._emit(unit)
            except (ArithmeticError, IndexError, TypeError, ValueError) as error:
                raise ValueError(f"native engine: node {unit.nodes[0].name}: {error}") from None
        self.plan.finish()

    def _emit(self, unit: Unit) -> None:
        emit = EMITTERS.get(type(unit.operator))
        if emit is None:
            raise ValueError(f"there is no kernel for {type(unit.operator).__name__}")
        whole = self._whole_reads(unit)
        if unit.rows != self._stage or whole & self._fresh or set(unit.reads) & self._shared:
            self.plan.stage(*unit.rows)
            self._stage, self._fresh, self._shared = unit.rows, set(), set()
        emit(self, unit)
        self._fresh.update(unit.writes)
        for name in unit.writes:
            if name not in self._values:
                continue
            self._pack_for_attention(name)
            if name in self._output_index:
                value = self._values[name]
                rows = self._graph.all_rows(name)
                if rows != self._stage:
                    self.plan.stage(*rows)
                    self._stage, self._fresh, self._shared = rows, set(), set()
                self.plan.export([name], value.buffer, value.column, value.columns, self._output_index[name])

    @staticmethod
    def _whole_reads(unit: Unit) -> set[str]:
        """Tensors of which the unit reads rows that are not its own."""
        if isinstance(unit.operator, Scores) and not in_windows(unit.nodes):
            return {unit.nodes[0].inputs[1], unit.nodes[2].inputs[1]}
        whole = isinstance(unit.operator, Scores | SelectToken | SumTokens | GatherTokens)
        return set(unit.reads) if whole else set()

    def _pack_for_attention(self, name: str) -> None:
        value = self._values[name]
        keys = self.program.tensors[name].shape[0]
        for node in self._graph.consumers.get(name, []):
            operator = node.operator
            if (
                not isinstance(operator, Scores | AttentionValues)
                or node.inputs[1] != name
                or node.name not in self._graph.rows
                or node.name in self._windowed
            ):
                continue
            heads, dim = operator.heads, value.columns // operator.heads
            is_keys = isinstance(operator, Scores)
            pack = (
                self.plan.packed_keys(heads, dim, keys)
                if is_keys
                else self.plan.packed_values(heads, dim, keys)
            )
            step = self.plan.pack_keys if is_keys else self.plan.pack_values
            step([node.name], value.buffer, value.column, heads, dim, keys, pack)
            self._packs[node.name, name] = pack

    def _kind(self, name: str) -> str:
        spec = self.program.tensors[name]
        if not spec.signed or spec.bits not in (8, 16, 32):
            raise ValueError(
                f"the engine holds int8, int16 and int32, not {spec.bits} bits, signed {spec.signed}"
            )
        return f"int{spec.bits}"

    def _new(self, name: str) -> int:
        """A buffer of the tensor's own."""
        shape = self.program.tensors[name].shape
        if len(shape) != 2:
            raise ValueError(f"the engine holds tensors of [tokens, channels], not {list(shape)}")
        buffer = self.plan.buffer(shape[0], shape[1], self._kind(name))
        self._values[name] = Value(buffer, 0, shape[1])
        return buffer

    def _at(self, name: str) -> int:
        """The buffer of a tensor that fills one."""
        if name not in self._values:
            raise ValueError(f"it reads {name!r}, which is not a tensor of [tokens, channels]")
        value = self._values[name]
        if value.column:
            raise ValueError(f"it reads {name!r}, which lies beside others")
        return value.buffer

    def patches(self, unit: Unit) -> None:
        """Pixels to patches."""
        node, operator = unit.nodes[0], unit.operator
        assert isinstance(operator, Patchify)
        if node.inputs[0] != PIXELS:
            raise ValueError("patches are cut from the pixels")
        self.plan.patches([node.name], self._new(node.name), operator.patch_size)

    def linear(self, unit: Unit) -> None:
        """One linear layer with its tail, or several side by side."""
        first, operator = unit.nodes[0], unit.operator
        assert isinstance(operator, Linear)
        source = self._at(first.inputs[0])
        tail = (
            unit.nodes[1] if len(unit.nodes) > 1 and not isinstance(unit.nodes[1].operator, Linear) else None
        )
        nodes = [first] if tail else list(unit.nodes)
        exact = self.weights.exact[first.name]
        packed = self.weights.pack(nodes, operator.output_bits if exact else 32)
        if tail is not None:
            self._linear_with_tail(first, tail, packed, source)
            return
        rows = self.program.tensors[first.name].shape[0]
        widths = [self.program.tensors[node.name].shape[1] for node in nodes]
        out = self.plan.buffer(rows, sum(widths), self._kind(first.name))
        names = [node.name for node in nodes]
        if exact:
            self.plan.linear(names, packed, source, out)
        else:
            wide = self.plan.buffer(rows, sum(widths), "int32")
            self.plan.linear(names, packed, source, wide)
            shift = np.concatenate([int32(getattr(node.operator, "shift")) for node in nodes])  # noqa: B009
            self.plan.requantize(names, wide, out, shift)
        column = 0
        for node, width in zip(nodes, widths, strict=True):
            self._values[node.name] = Value(out, column, width)
            column += width

    def _linear_with_tail(self, node: Node, tail: Node, packed: Any, source: int) -> None:
        names, operator, out = [node.name, tail.name], tail.operator, self._new(tail.name)
        channels = self.program.tensors[tail.name].shape[1]
        if isinstance(operator, Lookup):
            self.plan.linear(names, packed, source, out, table=column_tables(operator, channels))
        elif isinstance(operator, AssembleTokens):
            zero = np.zeros(channels, np.int32)
            constant = operator.position.astype(np.int16).ravel()
            residual = {
                "constant": constant,
                "left_own": zero,
                "left_residual": zero,
                "shift": zero,
                "out_bits": operator.output_bits,
            }
            self.plan.linear(
                names, packed, source, out, out_row_offset=len(operator.prefix), residual=residual
            )
            self._prefix(tail, operator, out)
        else:
            assert isinstance(operator, Add)
            own_first = tail.inputs[0] == node.name
            lefts = (operator.left_a, operator.left_b) if own_first else (operator.left_b, operator.left_a)
            residual = {
                "buffer": self._at(tail.inputs[1 if own_first else 0]),
                "left_own": int32(lefts[0], channels),
                "left_residual": int32(lefts[1], channels),
                "shift": int32(operator.shift, channels),
                "out_bits": operator.output_bits,
            }
            self.plan.linear(names, packed, source, out, residual=residual)

    def _prefix(self, node: Node, operator: AssembleTokens, out: int) -> None:
        if len(operator.prefix):
            self.plan.constant_rows(
                [node.name], out, operator.prefix.astype(np.int16).ravel(), len(operator.prefix)
            )
        self._shared.add(node.name)

    def assemble(self, unit: Unit) -> None:
        """Prefix tokens and position embedding, unfused."""
        node, operator = unit.nodes[0], unit.operator
        assert isinstance(operator, AssembleTokens)
        source, out = self._at(node.inputs[0]), self._new(node.name)
        self.plan.position(
            [node.name], source, out, len(operator.prefix), operator.position.astype(np.int16).ravel()
        )
        self._prefix(node, operator, out)

    def layernorm(self, unit: Unit) -> None:
        """LayerNorm."""
        node, op = unit.nodes[0], unit.operator
        assert isinstance(op, LayerNorm)
        if bool((op.input_shift > 31).any()):
            raise ValueError("an input_shift is above 31")
        self.plan.layernorm(
            [node.name],
            self._at(node.inputs[0]),
            self._new(node.name),
            op.input_shift.astype(np.uint8),
            op.table.astype(np.uint16),
            int32(op.shift),
            op.input_bits,
            op.output_bits,
            op.epsilon,
            op.epsilon_shift,
            squares_shift(op.channels),
        )

    def attention(self, unit: Unit) -> None:
        """Scores, softmax and values."""
        if in_windows(unit.nodes):
            self._window_attention(unit)
            return
        scores, softmax, values = unit.nodes
        s, p, v = scores.operator, softmax.operator, values.operator
        assert isinstance(s, Scores)
        assert isinstance(p, Softmax)
        assert isinstance(v, AttentionValues)
        if p.form != v.form or s.heads != v.heads or v.shift.size != s.heads * s.head_dim:
            raise ValueError("softmax and values disagree about the form, the heads or the channels")
        queries, keys = self._values[scores.inputs[0]], self.program.tensors[scores.inputs[1]].shape[0]
        self.plan.attention(
            [scores.name, softmax.name, values.name],
            queries.buffer,
            queries.column,
            self._packs[scores.name, scores.inputs[1]],
            self._packs[values.name, values.inputs[1]],
            self._new(values.name),
            s.heads,
            s.head_dim,
            keys,
            int32(p.shift),
            int32(v.shift) + QUOTIENT_FRACTION,
            v.form == "log2",
            v.guard,
            v.output_bits,
            self._output_index.get(scores.name, -1),
            self._output_index.get(softmax.name, -1),
        )

    def _window_attention(self, unit: Unit) -> None:
        """Scores, their bias and mask, softmax and values, window by window."""
        scores, *between, values = unit.nodes
        s, p, v = scores.operator, between[-1].operator, values.operator
        assert isinstance(s, Scores)
        assert isinstance(p, Softmax)
        assert isinstance(v, AttentionValues)
        if p.form != v.form or s.heads != v.heads or s.windows != v.windows:
            raise ValueError("scores, softmax and values disagree about the form, the heads or the windows")
        bias = between[0].operator if isinstance(between[0].operator, ScoreBias) else None
        numbers, regions, masked = np.zeros(0, np.int32), np.zeros(0, np.int8), np.zeros(0, np.int32)
        if bias is not None:
            numbers, masked = int32(bias.bias.ravel()), int32(bias.masked)
            regions = np.ascontiguousarray(bias.regions.ravel())
        places = [self._values[name] for name in (*scores.inputs, values.inputs[1])]
        shown = (scores.name, between[0].name if bias is not None else "", between[-1].name)
        self.plan.window_attention(
            [node.name for node in unit.nodes],
            *((value.buffer, value.column) for value in places),
            self._new(values.name),
            (s.windows, s.heads, s.head_dim, self.program.tensors[scores.name].shape[2]),
            int32(p.shift),
            int32(v.shift) + QUOTIENT_FRACTION,
            v.form == "log2",
            v.guard,
            v.output_bits,
            tuple(self._output_index.get(name, -1) for name in shown),
            numbers,
            regions,
            masked,
        )
        self._shared.add(values.name)

    def gather(self, unit: Unit) -> None:
        """Tokens in another order."""
        node, op = unit.nodes[0], unit.operator
        assert isinstance(op, GatherTokens)
        source, fill = self._at(node.inputs[0]), np.ascontiguousarray(op.fill.astype(np.int16))
        self.plan.gather([node.name], source, self._new(node.name), int32(op.index.ravel()), fill)

    def constant(self, unit: Unit) -> None:
        """Tokens that are the same for every image."""
        node, op = unit.nodes[0], unit.operator
        assert isinstance(op, ConstantTokens)
        out = self._new(node.name)
        self.plan.constant_rows([node.name], out, op.tokens.astype(np.int16).ravel(), len(op.tokens))
        self._shared.add(node.name)

    def lookup(self, unit: Unit) -> None:
        """A table on its own."""
        node, operator = unit.nodes[0], unit.operator
        assert isinstance(operator, Lookup)
        self.plan.lookup(
            [node.name], self._at(node.inputs[0]), self._new(node.name), biased_tables(operator.table)
        )

    def add(self, unit: Unit) -> None:
        """A residual add on its own."""
        node, op = unit.nodes[0], unit.operator
        assert isinstance(op, Add)
        n = self.program.tensors[node.name].shape[-1]
        a, b = (self._at(name) for name in node.inputs)
        self.plan.add(
            [node.name],
            a,
            b,
            self._new(node.name),
            int32(op.left_a, n),
            int32(op.left_b, n),
            int32(op.shift, n),
        )

    def affine(self, unit: Unit) -> None:
        """Gain and bias per channel."""
        node, op = unit.nodes[0], unit.operator
        assert isinstance(op, Affine)
        self.plan.affine(
            [node.name],
            self._at(node.inputs[0]),
            self._new(node.name),
            int32(op.gain),
            int32(op.bias),
            int32(op.shift),
        )

    def select(self, unit: Unit) -> None:
        """One token."""
        node, operator = unit.nodes[0], unit.operator
        assert isinstance(operator, SelectToken)
        self.plan.select([node.name], self._at(node.inputs[0]), self._new(node.name), operator.index)

    def token_sum(self, unit: Unit) -> None:
        """Sum over tokens."""
        node, op = unit.nodes[0], unit.operator
        assert isinstance(op, SumTokens)
        n = self.program.tensors[node.name].shape[-1]
        self.plan.token_sum(
            [node.name],
            self._at(node.inputs[0]),
            self._new(node.name),
            op.first,
            op.count,
            int32(op.shift, n),
        )


EMITTERS: dict[type, Callable[[PlanBuilder, Unit], None]] = {
    Patchify: PlanBuilder.patches,
    Linear: PlanBuilder.linear,
    AssembleTokens: PlanBuilder.assemble,
    LayerNorm: PlanBuilder.layernorm,
    Scores: PlanBuilder.attention,
    Lookup: PlanBuilder.lookup,
    Add: PlanBuilder.add,
    Affine: PlanBuilder.affine,
    GatherTokens: PlanBuilder.gather,
    ConstantTokens: PlanBuilder.constant,
    SelectToken: PlanBuilder.select,
    SumTokens: PlanBuilder.token_sum,
}
