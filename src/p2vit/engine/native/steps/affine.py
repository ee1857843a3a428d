"""Emitter of gain and bias per channel."""

from p2vit.engine.native.graph import FusionGroup
from p2vit.engine.native.tensor_buffers import TensorBuffers
from p2vit.engine.native.weights import int32
from p2vit.numerics import Affine


def affine(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit gain and bias per channel."""
    node, op = group.nodes[0], group.operator
    assert isinstance(op, Affine)
    buffers.plan.affine(
        [node.name],
        buffers.of(node.inputs[0]),
        buffers.new(node.name),
        gain=int32(op.gain),
        bias=int32(op.bias),
        shift=int32(op.shift),
    )
