"""Emitter of linear layers, with the node that is fused into their epilogue."""

from typing import Any

import numpy as np

from p2vit.engine.native.graph import FusionGroup
from p2vit.engine.native.steps.tokens import prefix
from p2vit.engine.native.tensor_buffers import BufferView, TensorBuffers
from p2vit.engine.native.weights import column_tables, int32
from p2vit.numerics import Add, AssembleTokens, Linear, Lookup
from p2vit.program.graph import Node


def linear(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit one linear layer with its epilogue, or several linear layers side by side."""
    first, operator = group.nodes[0], group.operator
    assert isinstance(operator, Linear)
    source = buffers.of(first.inputs[0])
    tail = (
        group.nodes[1] if len(group.nodes) > 1 and not isinstance(group.nodes[1].operator, Linear) else None
    )
    nodes = [first] if tail else list(group.nodes)
    exact = buffers.weights.exact[first.name]
    packed = buffers.weights.pack(nodes, operator.output_bits if exact else 32)
    if tail is not None:
        _linear_with_tail(buffers, first, tail, packed, source)
        return
    rows = buffers.shape(first.name)[0]
    widths = [buffers.shape(node.name)[1] for node in nodes]
    out = buffers.plan.buffer(rows, sum(widths), buffers.kind(first.name))
    names = [node.name for node in nodes]
    if exact:
        buffers.plan.linear(names, packed, source, out)
    else:
        wide = buffers.plan.buffer(rows, sum(widths), "int32")
        buffers.plan.linear(names, packed, source, wide)
        shift = np.concatenate([int32(getattr(node.operator, "shift")) for node in nodes])  # noqa: B009
        buffers.plan.requantize(names, wide, out, shift)
    column = 0
    for node, width in zip(nodes, widths, strict=True):
        buffers.views[node.name] = BufferView(out, column, width)
        column += width


def _linear_with_tail(buffers: TensorBuffers, node: Node, tail: Node, packed: Any, source: int) -> None:
    names, operator, out = [node.name, tail.name], tail.operator, buffers.new(tail.name)
    channels = buffers.shape(tail.name)[1]
    if isinstance(operator, Lookup):
        buffers.plan.linear(names, packed, source, out, table=column_tables(operator, channels))
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
        buffers.plan.linear(
            names, packed, source, out, out_row_offset=len(operator.prefix), residual=residual
        )
        prefix(buffers, tail, operator, out)
    else:
        assert isinstance(operator, Add)
        own_first = tail.inputs[0] == node.name
        lefts = (operator.left_a, operator.left_b) if own_first else (operator.left_b, operator.left_a)
        residual = {
            "buffer": buffers.of(tail.inputs[1 if own_first else 0]),
            "left_own": int32(lefts[0], channels),
            "left_residual": int32(lefts[1], channels),
            "shift": int32(operator.shift, channels),
            "out_bits": operator.output_bits,
        }
        buffers.plan.linear(names, packed, source, out, residual=residual)
