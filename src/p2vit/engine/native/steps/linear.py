"""Steps of linear layers with what is fused behind them."""

from typing import Any

import numpy as np

from p2vit.engine.native.graph import Unit
from p2vit.engine.native.places import Places, Value
from p2vit.engine.native.steps.tokens import prefix
from p2vit.engine.native.weights import column_tables, int32
from p2vit.numerics import Add, AssembleTokens, Linear, Lookup
from p2vit.program.graph import Node


def linear(places: Places, unit: Unit) -> None:
    """One linear layer with its tail, or several side by side."""
    first, operator = unit.nodes[0], unit.operator
    assert isinstance(operator, Linear)
    source = places.of(first.inputs[0])
    tail = unit.nodes[1] if len(unit.nodes) > 1 and not isinstance(unit.nodes[1].operator, Linear) else None
    nodes = [first] if tail else list(unit.nodes)
    exact = places.weights.exact[first.name]
    packed = places.weights.pack(nodes, operator.output_bits if exact else 32)
    if tail is not None:
        _linear_with_tail(places, first, tail, packed, source)
        return
    rows = places.shape(first.name)[0]
    widths = [places.shape(node.name)[1] for node in nodes]
    out = places.plan.buffer(rows, sum(widths), places.kind(first.name))
    names = [node.name for node in nodes]
    if exact:
        places.plan.linear(names, packed, source, out)
    else:
        wide = places.plan.buffer(rows, sum(widths), "int32")
        places.plan.linear(names, packed, source, wide)
        shift = np.concatenate([int32(getattr(node.operator, "shift")) for node in nodes])  # noqa: B009
        places.plan.requantize(names, wide, out, shift)
    column = 0
    for node, width in zip(nodes, widths, strict=True):
        places.values[node.name] = Value(out, column, width)
        column += width


def _linear_with_tail(places: Places, node: Node, tail: Node, packed: Any, source: int) -> None:
    names, operator, out = [node.name, tail.name], tail.operator, places.new(tail.name)
    channels = places.shape(tail.name)[1]
    if isinstance(operator, Lookup):
        places.plan.linear(names, packed, source, out, table=column_tables(operator, channels))
    elif isinstance(operator, AssembleTokens):
        zero = np.zeros(channels, np.int32)
        constant = operator.position.astype(np.int16).ravel()
        residual = {
            "constant": constant,
            "left_own": zero,
            "left_residual": zero,
            "shift": zero,
            "out_bits": operator.output_bits,
        }
        places.plan.linear(names, packed, source, out, out_row_offset=len(operator.prefix), residual=residual)
        prefix(places, tail, operator, out)
    else:
        assert isinstance(operator, Add)
        own_first = tail.inputs[0] == node.name
        lefts = (operator.left_a, operator.left_b) if own_first else (operator.left_b, operator.left_a)
        residual = {
            "buffer": places.of(tail.inputs[1 if own_first else 0]),
            "left_own": int32(lefts[0], channels),
            "left_residual": int32(lefts[1], channels),
            "shift": int32(operator.shift, channels),
            "out_bits": operator.output_bits,
        }
        places.plan.linear(names, packed, source, out, residual=residual)
