"""The table of lowerings, and what each of them is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from p2vit.errors import P2vitError
from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.integer.matmul import ProductForm
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import Operator
from p2vit.program.graph import IntegerProgram, Node, TensorSpec


@dataclass(frozen=True)
class Lowering:
    """One node on its way into an ONNX graph.

    Attributes:
        graph: Where the nodes go.
        program: The whole program.
        node: The node that is lowered.
        inputs: Its inputs, as they already are in the graph.
        products: How int8 matrix products are written.
    """

    graph: OnnxGraph
    program: IntegerProgram
    node: Node
    inputs: tuple[Value, ...]
    products: ProductForm

    @property
    def spec(self) -> TensorSpec:
        """What the node writes."""
        return self.program.tensors[self.node.name]

    def error(self, what: str) -> P2vitError:
        """An error that names the node."""
        return P2vitError(f"node {self.node.name}: {what}")


LOWERINGS: dict[type[Operator], Callable[[Any, Lowering], Value]] = {}


def lowers(
    kind: type[Operator],
) -> Callable[[Callable[[Any, Lowering], Value]], Callable[[Any, Lowering], Value]]:
    """Register the lowering of an operator class: a function of the operator and a :class:`Lowering`."""

    def register(function: Callable[[Any, Lowering], Value]) -> Callable[[Any, Lowering], Value]:
        LOWERINGS[kind] = function
        return function

    return register


def lower(at: Lowering) -> Value:
    """Lower one node.

    Raises:
        P2vitError: no lowering is registered for its operator.
    """
    kind = type(at.node.operator)
    if kind not in LOWERINGS:
        known = ", ".join(sorted(k.__name__ for k in LOWERINGS))
        raise at.error(f"no ONNX lowering for operator {kind.__name__}; there is one for {known}")
    with at.graph.scope(at.node.name):
        return LOWERINGS[kind](at.node.operator, at)
