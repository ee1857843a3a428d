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
        input_shift=op.input_shift.astype(np.uint8),
        table=op.table.astype(np.uint16),
        shift=int32(op.shift),
        input_bits=op.input_bits,
        out_bits=op.output_bits,
        epsilon=op.epsilon,
        epsilon_shift=op.epsilon_shift,
        squares_shift=squares_shift(op.channels),
    )
