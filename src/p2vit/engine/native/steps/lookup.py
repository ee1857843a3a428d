"""The step of a table on its own."""

from p2vit.engine.native.graph import Unit
from p2vit.engine.native.places import Places
from p2vit.engine.native.weights import biased_tables
from p2vit.numerics import Lookup


def lookup(places: Places, unit: Unit) -> None:
    """A table on its own."""
    node, operator = unit.nodes[0], unit.operator
    assert isinstance(operator, Lookup)
    places.plan.lookup(
        [node.name], places.of(node.inputs[0]), places.new(node.name), biased_tables(operator.table)
    )
