"""Plans the layout of every tensor before memory is allocated."""

from dataclasses import dataclass

from p2vit.hdl.compile.errors import require, unfit
from p2vit.numerics import AssembleTokens, AttentionValues, Linear, Lookup, Patchify, Scores, Softmax
from p2vit.program.graph import PIXELS, IntegerProgram, Node


@dataclass(frozen=True)
class LayoutPlan:
    """Layouts that differ from plain rows of tokens.

    Attributes:
        program: Integer program.
        first_rows: Tensor → number of free rows before its first row. Patches leave rows free for the prefix tokens,
            so that token assembly moves no data between lines.
        attention_of_values: Tensor of values → attention node that reads it. Such a tensor is written channel by
            channel.
        attention_of_codes: Softmax node → attention node that reads its codes.
    """

    program: IntegerProgram
    first_rows: dict[str, int]
    attention_of_values: dict[str, Node]
    attention_of_codes: dict[str, Node]


def readers(program: IntegerProgram) -> dict[str, list[Node]]:
    """Return, for each tensor, the nodes that read it."""
    found: dict[str, list[Node]] = {name: [] for name in program.tensors}
    for node in program.nodes:
        for source in node.inputs:
            found[source].append(node)
    return found


def plan_layouts(program: IntegerProgram) -> LayoutPlan:
    """Plan the layouts of a program.

    Raises:
        UnfitProgramError: The accelerator has no layout for the graph.
    """
    by_name = {node.name: node for node in program.nodes}
    reads = readers(program)
    first_rows = dict.fromkeys(program.tensors, 0)
    attention_of_values: dict[str, Node] = {}
    attention_of_codes: dict[str, Node] = {}
    for node in reversed(program.nodes):
        operator = node.operator
        if isinstance(operator, AssembleTokens):
            source = node.inputs[0]
            while source != PIXELS:
                maker = by_name[source]
                require(
                    len(reads[source]) == 1 and isinstance(maker.operator, Linear | Patchify | Lookup),
                    node.name,
                    f"its rows come from {source}, which cannot leave room for the prefix tokens",
                    "only patches through linear layers, read by nobody else, can be assembled",
                )
                first_rows[source] = len(operator.prefix)
                source = maker.inputs[0]
        elif isinstance(operator, AttentionValues):
            codes, values = node.inputs
            maker = by_name[values]
            require(
                isinstance(maker.operator, Linear) and len(reads[values]) == 1,
                node.name,
                f"its values are {values}, which is not a linear layer's output that it alone reads",
                "values are written channel by channel, which only a linear layer does",
            )
            require(
                isinstance(by_name[codes].operator, Softmax) and len(reads[codes]) == 1,
                node.name,
                f"its codes are {codes}, which is not a softmax that it alone reads",
                "row sums come with the softmax",
            )
            attention_of_values[values], attention_of_codes[codes] = node, node
        elif isinstance(operator, Softmax):
            scores = node.inputs[0]
            require(
                isinstance(by_name[scores].operator, Scores) and len(reads[scores]) == 1,
                node.name,
                f"it reads {scores}",
                "a softmax reads scores that nobody else reads",
            )
        elif isinstance(operator, Scores):
            for source in node.inputs:
                require(
                    source not in attention_of_values,
                    node.name,
                    f"{source} is read both as a query or key and as values",
                    "give them linear layers of their own",
                )
    for name, node in attention_of_values.items():
        if reads[name] != [node]:
            raise unfit(name, "values are read by more than their attention", "copy the layer")
    for node in program.of_kind(Softmax):
        require(
            node.name in attention_of_codes,
            node.name,
            "nobody multiplies its codes with values",
            "softmax codes are only made for attention × values",
        )
    return LayoutPlan(program, first_rows, attention_of_values, attention_of_codes)
