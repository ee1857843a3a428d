"""From a program to the compiled engine's plan: which stages there are, and what each of them does."""

from typing import Any

from p2vit.engine.native.graph import Graph, Unit, in_windows, units_of
from p2vit.engine.native.places import Places
from p2vit.engine.native.steps import EMITTERS
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
        self._places = Places(program, plan, weights)
        self._stage: tuple[int, int] | None = None
        self._fresh: set[str] = set()  # tensors written in the current stage
        self._windowed: set[str] = set()  # nodes of attention in windows, whose keys are not packed before

    @property
    def outputs(self) -> list[TensorSpec]:
        """Specs of the tensors that it writes out, in the order of the plan's outputs."""
        return self._places.outputs

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
                self._places.add_output(node.name)
        units = units_of(self._graph, self.weights.exact)
        for unit in units:
            if isinstance(unit.operator, Scores) and in_windows(unit.nodes):
                self._windowed.update(unit.writes)
        for unit in units:
            try:
                self._emit(unit)
            except (ArithmeticError, IndexError, TypeError, ValueError) as error:
                raise ValueError(f"native engine: node {unit.nodes[0].name}: {error}") from None

    def _emit(self, unit: Unit) -> None:
        emit = EMITTERS.get(type(unit.operator))
        if emit is None:
            raise ValueError(f"there is no kernel for {type(unit.operator).__name__}")
        if (
            unit.rows != self._stage
            or whole_reads(unit) & self._fresh
            or set(unit.reads) & self._places.shared
        ):
            self._enter(unit.rows)
        emit(self._places, unit)
        self._fresh.update(unit.writes)
        for name in unit.writes:
            if name in self._places.values:
                self._pack_for_attention(name)
                self._export(name)

    def _enter(self, rows: tuple[int, int]) -> None:
        """Begin a stage: threads meet, then share these rows."""
        self.plan.stage(*rows)
        self._stage = rows
        self._fresh.clear()
        self._places.shared.clear()

    def _export(self, name: str) -> None:
        """Write a tensor out, if it is wanted."""
        output = self._places.output(name)
        if output < 0:
            return
        rows = self._graph.all_rows(name)
        if rows != self._stage or name in self._places.shared:
            self._enter(rows)
        value = self._places.values[name]
        self.plan.export([name], value.buffer, column=value.column, columns=value.columns, output=output)

    def _pack_for_attention(self, name: str) -> None:
        """Pack keys or values for the nodes that attend to them."""
        value, keys = self._places.values[name], self._places.shape(name)[0]
        for node in self._graph.consumers.get(name, []):
            operator = node.operator
            if (
                not isinstance(operator, Scores | AttentionValues)
                or node.inputs[1] != name
                or node.name not in self._graph.rows
                or node.name in self._windowed
            ):
                continue
            if self._stage != (0, keys) or name in self._places.shared:
                self._enter((0, keys))  # constant tokens are written by whoever comes first
            heads, dim = operator.heads, value.columns // operator.heads
            is_keys = isinstance(operator, Scores)
            room = self.plan.packed_keys if is_keys else self.plan.packed_values
            step = self.plan.pack_keys if is_keys else self.plan.pack_values
            pack = room(heads, dim, keys)
            step([node.name], value.buffer, column=value.column, heads=heads, dim=dim, keys=keys, out=pack)
            self._places.packs[node.name, name] = pack
            self._fresh.add(name)  # attention reads what every thread has packed: it begins a stage


def whole_reads(unit: Unit) -> set[str]:
    """Tensors of which a unit reads rows that are not its own."""
    if isinstance(unit.operator, Scores) and not in_windows(unit.nodes):
        return {unit.nodes[0].inputs[1], unit.nodes[2].inputs[1]}
    whole = isinstance(unit.operator, Scores | SelectToken | SumTokens | GatherTokens)
    return set(unit.reads) if whole else set()
