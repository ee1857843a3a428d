"""The step of a residual add on its own."""

from p2vit.engine.native.graph import Unit
from p2vit.engine.native.places import Places
from p2vit.engine.native.weights import int32
from p2vit.numerics import Add


def add(places: Places, unit: Unit) -> None:
    """A residual add on its own."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, Add)
    n = places.shape(node.name)[-1]
    a, b = (places.of(name) for name in node.inputs)
    places.plan.add(
        [node.name],
        a,
        b,
        places.new(node.name),
        left_a=int32(op.left_a, n),
        left_b=int32(op.left_b, n),
        shift=int32(op.shift, n),
    )
