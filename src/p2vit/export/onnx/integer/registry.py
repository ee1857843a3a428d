"""The registry of integer lowerings, and the arguments that each of them gets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from p2vit.errors import P2vitError
from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.integer.matmul import ProductForm
from p2vit.export.onnx.integer.values import Value
from p2vit.numerics import Operator
from p2vit.numerics.rounding import Range
from p2vit.program.graph import IntegerProgram, Node, TensorSpec


@dataclass(frozen=True)
class Lowering:
    """The arguments of an integer lowering.

    Attributes:
        graph: Graph to which nodes are added.
        program: The whole program.
        node: Node that is lowered.
        inputs: Its inputs in the graph.
        products: Form of the int8 matrix products.
        ranges: Tensor name → proven range.
    """

    graph: OnnxGraph
    program: IntegerProgram
    node: Node
    inputs: tuple[Value, ...]
    products: ProductForm
    ranges: Mapping[str, Range]

    @property
    def spec(self) -> TensorSpec:
        """Tensor that the node writes."""
        return self.program.tensors[self.node.name]

    def error(self, what: str) -> P2vitError:
        """Return an error that names the node."""
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
        P2vitError: The operator has no lowering.
    """
    kind = type(at.node.operator)
    if kind not in LOWERINGS:
        known = ", ".join(sorted(k.__name__ for k in LOWERINGS))
        raise at.error(f"no ONNX lowering for operator {kind.__name__}; there is one for {known}")
    with at.graph.scope(at.node.name):
        return LOWERINGS[kind](at.node.operator, at)
