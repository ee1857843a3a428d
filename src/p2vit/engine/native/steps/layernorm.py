"""Emitter of LayerNorm."""

import numpy as np

from p2vit.engine.native.graph import FusionGroup
from p2vit.engine.native.tensor_buffers import TensorBuffers
from p2vit.engine.native.weights import int32
from p2vit.numerics import LayerNorm
from p2vit.numerics.layernorm import squares_shift


def layernorm(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit LayerNorm."""
    node, op = group.nodes[0], group.operator
    assert isinstance(op, LayerNorm)
    if bool((op.input_shift > 31).any()):
        raise ValueError("an input_shift is above 31")
    buffers.plan.layernorm(
        [node.name],
        buffers.of(node.inputs[0]),
        buffers.new(node.name),
        input_shift=op.input_shift.astype(np.uint8),
        table=op.table.astype(np.uint16),
        shift=int32(op.shift),
        input_bits=op.input_bits,
        out_bits=op.output_bits,
        epsilon=op.epsilon,
        epsilon_shift=op.epsilon_shift,
        squares_shift=squares_shift(op.channels),
    )
