"""Builds the compiled engine's plan of a program: its stages, and the steps of each."""

from typing import Any

from p2vit.engine.native.graph import FusionGroup, Graph, fusion_groups, in_windows
from p2vit.engine.native.steps import EMITTERS
from p2vit.engine.native.tensor_buffers import TensorBuffers
from p2vit.engine.native.weights import Weights
from p2vit.numerics import AttentionValues, GatherTokens, Scores, SelectToken, SumTokens
from p2vit.program.graph import IntegerProgram, TensorSpec


class PlanBuilder:
    """Emits the stages of one program for one set of tensors to return.

    Attributes:
        plan: The compiled plan.
    """

    def __init__(self, program: IntegerProgram, wanted: frozenset[str], plan: Any, weights: Weights) -> None:
        self.program = program
        self.plan = plan
        self.weights = weights
        self._graph = Graph(program, wanted)
        self._buffers = TensorBuffers(program, plan, weights)
        self._stage: tuple[int, int] | None = None
        self._fresh: set[str] = set()  # Tensors written in the current stage.
        self._windowed: set[str] = set()  # Nodes of window attention, which packs its own keys.

    @property
    def outputs(self) -> list[TensorSpec]:
        """Specs of the tensors that the plan returns, in the order of its outputs."""
        return self._buffers.outputs

    def build(self) -> None:
        """Emit all steps, and allocate the memory of the plan.

        Raises:
            ValueError: The engine cannot run a node. The message names it.
        """
        self.emit()
        self.plan.finish()

    def emit(self) -> None:
        """Emit all steps, without allocating memory.

        Raises:
            ValueError: The engine cannot run a node. The message names it.
        """
        for node in self.program.nodes:
            if node.name in self._graph.wanted:
                self._buffers.add_output(node.name)
        groups = fusion_groups(self._graph, self.weights.exact)
        for group in groups:
            if isinstance(group.operator, Scores) and in_windows(group.nodes):
                self._windowed.update(group.writes)
        for group in groups:
            try:
                self._emit(group)
            except (ArithmeticError, IndexError, TypeError, ValueError) as error:
                raise ValueError(f"native engine: node {group.nodes[0].name}: {error}") from None

    def _emit(self, group: FusionGroup) -> None:
        emit = EMITTERS.get(type(group.operator))
        if emit is None:
            raise ValueError(f"there is no kernel for {type(group.operator).__name__}")
        if (
            group.rows != self._stage
            or reads_other_rows(group) & self._fresh
            or set(group.reads) & self._buffers.shared
        ):
            self._enter(group.rows)
        emit(self._buffers, group)
        self._fresh.update(group.writes)
        for name in group.writes:
            if name in self._buffers.views:
                self._pack_for_attention(name)
                self._export(name)

    def _enter(self, rows: tuple[int, int]) -> None:
        """Begin a stage. All threads wait for one another, and then share these rows."""
        self.plan.stage(*rows)
        self._stage = rows
        self._fresh.clear()
        self._buffers.shared.clear()

    def _export(self, name: str) -> None:
        """Add the step that returns a tensor, if it is to be returned."""
        output = self._buffers.output(name)
        if output < 0:
            return
        rows = self._graph.all_rows(name)
        if rows != self._stage or name in self._buffers.shared:
            self._enter(rows)
        value = self._buffers.views[name]
        self.plan.export([name], value.buffer, column=value.column, columns=value.columns, output=output)

    def _pack_for_attention(self, name: str) -> None:
        """Add the steps that pack keys or values for the attention nodes that read them."""
        value, keys = self._buffers.views[name], self._buffers.shape(name)[0]
        for node in self._graph.consumers.get(name, []):
            operator = node.operator
            if (
                not isinstance(operator, Scores | AttentionValues)
                or node.inputs[1] != name
                or node.name not in self._graph.rows
                or node.name in self._windowed
            ):
                continue
            if self._stage != (0, keys) or name in self._buffers.shared:
                self._enter((0, keys))  # Any thread may have written constant tokens.
            heads, dim = operator.heads, value.columns // operator.heads
            is_keys = isinstance(operator, Scores)
            room = self.plan.packed_keys if is_keys else self.plan.packed_values
            step = self.plan.pack_keys if is_keys else self.plan.pack_values
            pack = room(heads, dim, keys)
            step([node.name], value.buffer, column=value.column, heads=heads, dim=dim, keys=keys, out=pack)
            self._buffers.packs[node.name, name] = pack
            self._fresh.add(name)  # Attention reads the keys of all threads, so it begins a stage.


def reads_other_rows(group: FusionGroup) -> set[str]:
    """Return the tensors of which a group reads rows that other threads may have written."""
    if isinstance(group.operator, Scores) and not in_windows(group.nodes):
        return {group.nodes[0].inputs[1], group.nodes[2].inputs[1]}
    whole = isinstance(group.operator, Scores | SelectToken | SumTokens | GatherTokens)
    return set(group.reads) if whole else set()
