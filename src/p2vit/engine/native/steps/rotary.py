"""The step of a rotary position embedding."""

import numpy as np

from p2vit.engine.native.graph import Unit
from p2vit.engine.native.places import Places
from p2vit.engine.native.weights import int32
from p2vit.numerics import Rotary


def rotary(places: Places, unit: Unit) -> None:
    """Turn neighbouring channels of each token."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, Rotary)
    places.plan.rotary(
        [node.name],
        places.of(node.inputs[0]),
        places.new(node.name),
        pairs=op.cosine.shape[1],
        cosine=np.ascontiguousarray(op.cosine.ravel()),
        sine=np.ascontiguousarray(op.sine.ravel()),
        shift=int32(op.shift, places.shape(node.name)[1]),
    )
