"""The step of gathered tokens."""

import numpy as np

from p2vit.engine.native.graph import Unit
from p2vit.engine.native.places import Places
from p2vit.engine.native.weights import int32
from p2vit.numerics import GatherTokens


def gather(places: Places, unit: Unit) -> None:
    """Tokens in another order."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, GatherTokens)
    source, fill = places.of(node.inputs[0]), np.ascontiguousarray(op.fill.astype(np.int16))
    places.plan.gather([node.name], source, places.new(node.name), int32(op.index.ravel()), fill)
