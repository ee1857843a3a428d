"""Operator fusion of the native engine, and the rows of each tensor that are needed.

The nodes of a program are divided into fusion groups. One step of the compiled plan computes one group: a linear layer
with the table, residual add or position embedding after it; the linear layers of q, k and v; or scores, softmax and
values.
"""

from dataclasses import dataclass
from functools import cached_property

from p2vit.engine.native.weights import fits_epilogue
from p2vit.numerics import (
    Add,
    AssembleTokens,
    AttentionValues,
    ConstantTokens,
    GatherTokens,
    Linear,
    Lookup,
    Operator,
    Patchify,
    ScoreBias,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.program.graph import IntegerProgram, Node

IN_A_ROW = "Scores, Softmax and AttentionValues must follow one another directly, and nothing else read them"

#: First row and number of rows.
Rows = tuple[int, int]


@dataclass(frozen=True)
class FusionGroup:
    """Nodes that one step computes together.

    Attributes:
        nodes: Nodes in the order of the program. The first one decides which step computes the group.
        rows: Rows that the step computes; the other rows of the tensor are not needed.
    """

    nodes: tuple[Node, ...]
    rows: Rows

    @property
    def operator(self) -> Operator:
        """Operator of the first node."""
        return self.nodes[0].operator

    @property
    def writes(self) -> tuple[str, ...]:
        """Tensors of its nodes, also those that stay in registers."""
        return tuple(node.name for node in self.nodes)

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Tensors of other groups that it reads, in the order of its nodes."""
        own = set(self.writes)
        return tuple(dict.fromkeys(name for node in self.nodes for name in node.inputs if name not in own))


class Graph:
    """A program, the consumers of each tensor, and the rows of it that are needed.

    Attributes:
        program: The program.
        wanted: Names of the tensors to return.
        consumers: Tensor name → nodes that read it.
        rows: Tensor name → rows that are needed. A tensor without an entry is not needed.
    """

    def __init__(self, program: IntegerProgram, wanted: frozenset[str]) -> None:
        self.program = program
        self.wanted = wanted
        self.consumers: dict[str, list[Node]] = {}
        for node in program.nodes:
            for source in node.inputs:
                self.consumers.setdefault(source, []).append(node)
        self.rows: dict[str, Rows] = {}
        for name in wanted:
            self._need(name, self.all_rows(name))
        self._need_whole_attentions()
        for node in reversed(program.nodes):
            if node.name in self.rows:
                self._need_inputs(node)

    def all_rows(self, name: str) -> Rows:
        """Return all rows of a tensor: its tokens, or the queries of an attention matrix."""
        shape = self.program.tensors[name].shape
        return (0, shape[-2] if len(shape) > 1 else 1)

    def _need(self, name: str, rows: Rows) -> None:
        first, count = self.rows.get(name, rows)
        begin = min(first, rows[0])
        self.rows[name] = (begin, max(first + count, rows[0] + rows[1]) - begin)

    def _need_whole_attentions(self) -> None:
        """Mark every row of an attention as needed if its scores, biased scores or codes are to be returned.

        One step computes a whole attention, but only those rows that are needed of its last tensor. Without this, some
        rows of the earlier tensors would not be written.
        """
        for node in self.program.of_kind(Scores):
            chain = self.attention_of(node)
            if any(inner.name in self.wanted for inner in chain[:-1]):
                self._need(chain[-1].name, self.all_rows(chain[-1].name))

    def _need_inputs(self, node: Node) -> None:
        operator, rows = node.operator, self.rows[node.name]
        for position, source in enumerate(node.inputs):
            if isinstance(operator, SelectToken):
                self._need(source, (operator.index, 1))
            elif isinstance(operator, SumTokens):
                self._need(source, (operator.first, operator.count))
            elif isinstance(operator, ConstantTokens):
                self._need(source, (0, 1))
            elif isinstance(operator, Patchify | AssembleTokens | GatherTokens | ScoreBias) or (
                isinstance(operator, Scores | AttentionValues) and (position == 1 or operator.windows > 1)
            ):
                self._need(source, self.all_rows(source))
            else:
                self._need(source, rows)

    def only_consumer(self, name: str) -> Node | None:
        """Return the only node that reads a tensor, or None if there are others or the tensor is to be returned."""
        readers = self.consumers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.wanted else None

    def attention_of(self, scores: Node) -> list[Node]:
        """Return the nodes of an attention: scores, optional bias, softmax and values.

        Raises:
            ValueError: They do not follow one another directly.
        """
        chain = [scores]
        biased = any(isinstance(node.operator, ScoreBias) for node in self.consumers.get(scores.name, []))
        for kind in (*((ScoreBias,) if biased else ()), Softmax, AttentionValues):
            readers = self.consumers.get(chain[-1].name, [])
            if (
                len(readers) != 1
                or not isinstance(readers[0].operator, kind)
                or readers[0].inputs[0] != chain[-1].name
            ):
                raise ValueError(f"node {scores.name}: {IN_A_ROW}")
            chain.append(readers[0])
        return chain


def in_windows(nodes: tuple[Node, ...] | list[Node]) -> bool:
    """Return whether an attention runs window by window and head by head, on keys that are not packed beforehand."""
    scores = nodes[0].operator
    return isinstance(scores, Scores) and (scores.windows > 1 or isinstance(nodes[1].operator, ScoreBias))


def epilogue_of(graph: Graph, node: Node, exact: bool, computed: set[str]) -> list[Node]:
    """Return the node that is fused into a linear layer's epilogue: a table, residual add or position embedding.

    Args:
        graph: The program.
        node: Node of the linear layer.
        exact: Whether its accumulator provably fits int32.
        computed: Tensors that are computed before it; the other input of a residual add must be one.

    Returns:
        A list with the node, or an empty list.
    """
    follower = graph.only_consumer(node.name)
    if (
        follower is None
        or not exact
        or not isinstance(node.operator, Linear)
        or node.operator.output_bits == 32
    ):
        return []
    operator = follower.operator
    if isinstance(operator, Lookup):
        fits = node.operator.output_bits == 8 and fits_epilogue(operator, len(node.operator.weight))
        return [follower] if fits else []
    if isinstance(operator, AssembleTokens):
        return [follower]
    if isinstance(operator, Add):
        others = [name for name in follower.inputs if name != node.name]
        bits = graph.program.tensors[others[0]].bits if others else 32
        return [follower] if len(others) == 1 and others[0] in computed and bits in (8, 16) else []
    return []


def feeds_attention_only(graph: Graph, name: str) -> bool:
    """Return whether a tensor is read only as queries, keys or values.

    Such a tensor may share a buffer with others, side by side.
    """
    readers = graph.consumers.get(name, [])
    return bool(readers) and all(
        isinstance(node.operator, Scores)
        or (isinstance(node.operator, AttentionValues) and node.inputs[1] == name)
        for node in readers
    )


def parallel_linears(graph: Graph, node: Node, taken: set[str]) -> list[Node]:
    """Return the linear layers of q, k and v that one step can compute: same input, output width and rows."""
    operator = node.operator
    assert isinstance(operator, Linear)
    if not feeds_attention_only(graph, node.name):
        return [node]
    found = []
    for other in graph.consumers[node.inputs[0]]:
        if (
            not isinstance(other.operator, Linear)
            or other.name in taken
            or not feeds_attention_only(graph, other.name)
        ):
            continue
        same_width = (other.operator.output_bits, other.operator.weight_bits <= 4) == (
            operator.output_bits,
            operator.weight_bits <= 4,
        )
        if same_width and graph.rows.get(other.name) == graph.rows.get(node.name):
            found.append(other)
    return found


def schedule(groups: list[FusionGroup], sources: set[str]) -> list[FusionGroup]:
    """Order groups so that, as far as dependencies allow, neighbours compute the same rows.

    Args:
        groups: Groups in the order of the program.
        sources: Tensors that exist from the start.

    Raises:
        ValueError: A group reads a tensor that no group before it can write.
    """
    ready_tensors, waiting, ordered = set(sources), list(groups), []
    rows: Rows | None = None
    while waiting:
        ready = [group for group in waiting if all(name in ready_tensors for name in group.reads)]
        if not ready:
            node = waiting[0].nodes[0]
            raise ValueError(
                f"node {node.name}: reads {list(node.inputs)}, not all of which can be computed before it"
            )
        group = next((group for group in ready if group.rows == rows), ready[0])
        waiting.remove(group)
        ordered.append(group)
        ready_tensors.update(group.writes)
        rows = group.rows
    return ordered


def fusion_groups(graph: Graph, exact: dict[str, bool]) -> list[FusionGroup]:
    """Divide the nodes that are needed into fusion groups, in the order in which they run.

    Args:
        graph: The program.
        exact: Linear layer → whether its accumulator provably fits int32, including the rounding constant.

    Raises:
        ValueError: Scores, softmax and values do not follow one another directly.
    """
    groups: list[FusionGroup] = []
    taken: set[str] = set()
    computed: set[str] = set()
    for node in graph.program.nodes:
        if node.name not in graph.rows or node.name in taken:
            continue
        if isinstance(node.operator, Scores):
            nodes = graph.attention_of(node)
        elif isinstance(node.operator, ScoreBias | Softmax | AttentionValues):
            raise ValueError(f"node {node.name}: {IN_A_ROW}")
        elif isinstance(node.operator, Linear):
            tail = epilogue_of(graph, node, exact[node.name], computed)
            nodes = (
                [node, *tail]
                if tail
                else [
                    n
                    for n in parallel_linears(graph, node, taken)
                    if n is node or exact[n.name] == exact[node.name]
                ]
            )
        else:
            nodes = [node]
        last = nodes[-1]
        rows = graph.rows[last.name]
        if isinstance(last.operator, AssembleTokens | SumTokens | SelectToken):
            rows = graph.all_rows(last.inputs[0]) if isinstance(last.operator, AssembleTokens) else (0, 1)
        elif isinstance(last.operator, ConstantTokens):
            rows = (0, 1)
        elif isinstance(node.operator, Scores) and in_windows(nodes):
            rows = (0, node.operator.windows * node.operator.heads)  # One row per window and head.
        groups.append(FusionGroup(tuple(nodes), rows))
        taken.update(n.name for n in nodes)
        computed.update(n.name for n in nodes)
    return schedule(groups, {"pixels"})
