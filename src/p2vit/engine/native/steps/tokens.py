"""Emitters of patches, prefix tokens, positions and token sums."""

import numpy as np

from p2vit.engine.native.graph import FusionGroup
from p2vit.engine.native.tensor_buffers import TensorBuffers
from p2vit.engine.native.weights import int32
from p2vit.numerics import AssembleTokens, ConstantTokens, Patchify, SelectToken, SumTokens
from p2vit.program.graph import PIXELS, Node


def patches(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit the cutting of pixels into patches."""
    node, operator = group.nodes[0], group.operator
    assert isinstance(operator, Patchify)
    if node.inputs[0] != PIXELS:
        raise ValueError("patches are cut from the pixels")
    buffers.plan.patches([node.name], buffers.new(node.name), operator.patch_size)


def assemble(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit prefix tokens and a position embedding that is not fused."""
    node, operator = group.nodes[0], group.operator
    assert isinstance(operator, AssembleTokens)
    source, out = buffers.of(node.inputs[0]), buffers.new(node.name)
    buffers.plan.position(
        [node.name], source, out, len(operator.prefix), operator.position.astype(np.int16).ravel()
    )
    prefix(buffers, node, operator, out)


def prefix(buffers: TensorBuffers, node: Node, operator: AssembleTokens, out: int) -> None:
    """Emit the prefix tokens, which are the same for every image."""
    if len(operator.prefix):
        buffers.plan.constant_rows(
            [node.name], out, operator.prefix.astype(np.int16).ravel(), len(operator.prefix)
        )
    buffers.shared.add(node.name)


def constant(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit tokens that are the same for every image."""
    node, op = group.nodes[0], group.operator
    assert isinstance(op, ConstantTokens)
    out = buffers.new(node.name)
    buffers.plan.constant_rows([node.name], out, op.tokens.astype(np.int16).ravel(), len(op.tokens))
    buffers.shared.add(node.name)


def select(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit the selection of one token."""
    node, operator = group.nodes[0], group.operator
    assert isinstance(operator, SelectToken)
    buffers.plan.select([node.name], buffers.of(node.inputs[0]), buffers.new(node.name), operator.index)


def token_sum(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit the sum over tokens."""
    node, op = group.nodes[0], group.operator
    assert isinstance(op, SumTokens)
    n = buffers.shape(node.name)[-1]
    buffers.plan.token_sum(
        [node.name],
        buffers.of(node.inputs[0]),
        buffers.new(node.name),
        first=op.first,
        count=op.count,
        shift=int32(op.shift, n),
    )
