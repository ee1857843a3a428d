"""Emitter of a product of two tensors."""

from p2vit.engine.native.graph import FusionGroup
from p2vit.engine.native.tensor_buffers import TensorBuffers
from p2vit.engine.native.weights import int32
from p2vit.numerics import Multiply


def multiply(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit the product of two tensors number by number."""
    node, op = group.nodes[0], group.operator
    assert isinstance(op, Multiply)
    channels = buffers.shape(node.name)[1]
    a, b = node.inputs
    buffers.plan.multiply(
        [node.name],
        buffers.of(a),
        buffers.of(b),
        buffers.new(node.name),
        offset=int32(op.offset, channels),
        shift=int32(op.shift, channels),
    )
