"""Emitter of a rotary position embedding."""

import numpy as np

from p2vit.engine.native.graph import FusionGroup
from p2vit.engine.native.tensor_buffers import TensorBuffers
from p2vit.engine.native.weights import int32
from p2vit.numerics import Rotary


def rotary(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit the rotation of neighbouring channels of each token."""
    node, op = group.nodes[0], group.operator
    assert isinstance(op, Rotary)
    buffers.plan.rotary(
        [node.name],
        buffers.of(node.inputs[0]),
        buffers.new(node.name),
        pairs=op.cosine.shape[1],
        cosine=np.ascontiguousarray(op.cosine.ravel()),
        sine=np.ascontiguousarray(op.sine.ravel()),
        shift=int32(op.shift, buffers.shape(node.name)[1]),
    )
