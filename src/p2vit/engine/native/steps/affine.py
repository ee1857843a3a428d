"""The step of a gain and a bias per channel."""

from p2vit.engine.native.graph import Unit
from p2vit.engine.native.places import Places
from p2vit.engine.native.weights import int32
from p2vit.numerics import Affine


def affine(places: Places, unit: Unit) -> None:
    """Gain and bias per channel."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, Affine)
    places.plan.affine(
        [node.name],
        places.of(node.inputs[0]),
        places.new(node.name),
        gain=int32(op.gain),
        bias=int32(op.bias),
        shift=int32(op.shift),
    )
