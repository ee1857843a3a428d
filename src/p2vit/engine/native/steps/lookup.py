"""Emitter of a table lookup that is not fused."""

from p2vit.engine.native.graph import FusionGroup
from p2vit.engine.native.tensor_buffers import TensorBuffers
from p2vit.engine.native.weights import biased_tables
from p2vit.numerics import Lookup


def lookup(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit a table lookup that is not fused."""
    node, operator = group.nodes[0], group.operator
    assert isinstance(operator, Lookup)
    buffers.plan.lookup(
        [node.name], buffers.of(node.inputs[0]), buffers.new(node.name), biased_tables(operator.table)
    )
