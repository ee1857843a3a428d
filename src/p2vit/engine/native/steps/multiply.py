"""The step of a product of two tensors."""

from p2vit.engine.native.graph import Unit
from p2vit.engine.native.places import Places
from p2vit.engine.native.weights import int32
from p2vit.numerics import Multiply


def multiply(places: Places, unit: Unit) -> None:
    """Multiply two tensors number by number."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, Multiply)
    channels = places.shape(node.name)[1]
    a, b = node.inputs
    places.plan.multiply(
        [node.name],
        places.of(a),
        places.of(b),
        places.new(node.name),
        offset=int32(op.offset, channels),
        shift=int32(op.shift, channels),
    )
