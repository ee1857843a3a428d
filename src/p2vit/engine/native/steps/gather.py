"""Emitter of the gathering of tokens."""

import numpy as np

from p2vit.engine.native.graph import FusionGroup
from p2vit.engine.native.tensor_buffers import TensorBuffers
from p2vit.engine.native.weights import int32
from p2vit.numerics import GatherTokens


def gather(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit the gathering of tokens."""
    node, op = group.nodes[0], group.operator
    assert isinstance(op, GatherTokens)
    source, fill = buffers.of(node.inputs[0]), np.ascontiguousarray(op.fill.astype(np.int16))
    buffers.plan.gather([node.name], source, buffers.new(node.name), int32(op.index.ravel()), fill)
