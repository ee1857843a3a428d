"""Emitter of a residual add that is not fused."""

from p2vit.engine.native.graph import FusionGroup
from p2vit.engine.native.tensor_buffers import TensorBuffers
from p2vit.engine.native.weights import int32
from p2vit.numerics import Add


def add(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit a residual add that is not fused."""
    node, op = group.nodes[0], group.operator
    assert isinstance(op, Add)
    n = buffers.shape(node.name)[-1]
    a, b = (buffers.of(name) for name in node.inputs)
    buffers.plan.add(
        [node.name],
        a,
        b,
        buffers.new(node.name),
        left_a=int32(op.left_a, n),
        left_b=int32(op.left_b, n),
        shift=int32(op.shift, n),
    )
