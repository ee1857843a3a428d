"""From a program to the compiled engine's plan: which stages there are, and what each of them does."""

from typing import Any

from p2vit.engine.native.graph import FusionGroup, Graph, fusion_groups, in_windows
from p2vit.engine.native.steps import EMITTERS
from p2vit.engine.native.tensor_buffers import TensorBuffers
from p2vit.engine.native.weights import Weights
from p2vit.numerics import AttentionValues, GatherTokens, Scores, SelectToken, SumTokens
from p2vit.program.graph import IntegerProgram, TensorSpec


class PlanBuilder:
    """Emits the stages of one program for one set of wanted tensors.

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
        self._fresh: set[str] = set()  # tensors written in the current stage
        self._windowed: set[str] = set()  # nodes of attention in windows, whose keys are not packed before

    @property
    def outputs(self) -> list[TensorSpec]:
        """Specs of the tensors that it writes out, in the order of the plan's outputs."""
        return self._buffers.outputs

    def build(self) -> None:
        """Emit everything and make the plan ready to run.

        Raises:
            ValueError: naming the node that the engine cannot run.
        """
        self.emit()
        self.plan.finish()

    def emit(self) -> None:
        """Give the plan all of its steps, and no memory yet.

        Raises:
            ValueError: naming the node that the engine cannot run.
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
        """Begin a stage: threads meet, then share these rows."""
        self.plan.stage(*rows)
        self._stage = rows
        self._fresh.clear()
        self._buffers.shared.clear()

    def _export(self, name: str) -> None:
        """Write a tensor out, if it is wanted."""
        output = self._buffers.output(name)
        if output < 0:
            return
        rows = self._graph.all_rows(name)
        if rows != self._stage or name in self._buffers.shared:
            self._enter(rows)
        value = self._buffers.views[name]
        self.plan.export([name], value.buffer, column=value.column, columns=value.columns, output=output)

    def _pack_for_attention(self, name: str) -> None:
        """Pack keys or values for the nodes that attend to them."""
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
                self._enter((0, keys))  # constant tokens are written by whoever comes first
            heads, dim = operator.heads, value.columns // operator.heads
            is_keys = isinstance(operator, Scores)
            room = self.plan.packed_keys if is_keys else self.plan.packed_values
            step = self.plan.pack_keys if is_keys else self.plan.pack_values
            pack = room(heads, dim, keys)
            step([node.name], value.buffer, column=value.column, heads=heads, dim=dim, keys=keys, out=pack)
            self._buffers.packs[node.name, name] = pack
            self._fresh.add(name)  # attention reads what every thread has packed: it begins a stage


def reads_other_rows(group: FusionGroup) -> set[str]:
    """Tensors of which a group reads rows that are not its own."""
    if isinstance(group.operator, Scores) and not in_windows(group.nodes):
        return {group.nodes[0].inputs[1], group.nodes[2].inputs[1]}
    whole = isinstance(group.operator, Scores | SelectToken | SumTokens | GatherTokens)
    return set(group.reads) if whole else set()
