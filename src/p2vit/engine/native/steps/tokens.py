"""Steps of patches, tokens and positions."""

import numpy as np

from p2vit.engine.native.graph import Unit
from p2vit.engine.native.places import Places
from p2vit.engine.native.weights import int32
from p2vit.numerics import AssembleTokens, ConstantTokens, Patchify, SelectToken, SumTokens
from p2vit.program.graph import PIXELS, Node


def patches(places: Places, unit: Unit) -> None:
    """Pixels to patches."""
    node, operator = unit.nodes[0], unit.operator
    assert isinstance(operator, Patchify)
    if node.inputs[0] != PIXELS:
        raise ValueError("patches are cut from the pixels")
    places.plan.patches([node.name], places.new(node.name), operator.patch_size)


def assemble(places: Places, unit: Unit) -> None:
    """Prefix tokens and position embedding, unfused."""
    node, operator = unit.nodes[0], unit.operator
    assert isinstance(operator, AssembleTokens)
    source, out = places.of(node.inputs[0]), places.new(node.name)
    places.plan.position(
        [node.name], source, out, len(operator.prefix), operator.position.astype(np.int16).ravel()
    )
    prefix(places, node, operator, out)


def prefix(places: Places, node: Node, operator: AssembleTokens, out: int) -> None:
    """The prefix tokens of an assembly, which are the same for every image."""
    if len(operator.prefix):
        places.plan.constant_rows(
            [node.name], out, operator.prefix.astype(np.int16).ravel(), len(operator.prefix)
        )
    places.shared.add(node.name)


def constant(places: Places, unit: Unit) -> None:
    """Tokens that are the same for every image."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, ConstantTokens)
    out = places.new(node.name)
    places.plan.constant_rows([node.name], out, op.tokens.astype(np.int16).ravel(), len(op.tokens))
    places.shared.add(node.name)


def select(places: Places, unit: Unit) -> None:
    """One token."""
    node, operator = unit.nodes[0], unit.operator
    assert isinstance(operator, SelectToken)
    places.plan.select([node.name], places.of(node.inputs[0]), places.new(node.name), operator.index)


def token_sum(places: Places, unit: Unit) -> None:
    """Sum over tokens."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, SumTokens)
    n = places.shape(node.name)[-1]
    places.plan.token_sum(
        [node.name],
        places.of(node.inputs[0]),
        places.new(node.name),
        first=op.first,
        count=op.count,
        shift=int32(op.shift, n),
    )
