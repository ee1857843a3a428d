"""The step of LayerNorm."""

import numpy as np

from p2vit.engine.native.graph import Unit
from p2vit.engine.native.places import Places
from p2vit.engine.native.weights import int32
from p2vit.numerics import LayerNorm
from p2vit.numerics.layernorm import squares_shift


def layernorm(places: Places, unit: Unit) -> None:
    """LayerNorm."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, LayerNorm)
    if bool((op.input_shift > 31).any()):
        raise ValueError("an input_shift is above 31")
    places.plan.layernorm(
        [node.name],
        places.of(node.inputs[0]),
        places.new(node.name),
        op.input_shift.astype(np.uint8),
        op.table.astype(np.uint16),
        int32(op.shift),
        op.input_bits,
        op.output_bits,
        op.epsilon,
        op.epsilon_shift,
        squares_shift(op.channels),
    )
