"""The integer operator of each step of a blueprint."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from p2vit.models.blueprint.step import Step
from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    ConstantTokens,
    GatherTokens,
    LayerNorm,
    Linear,
    Lookup,
    Multiply,
    Operator,
    Patchify,
    Rotary,
    ScoreBias,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.numerics.rounding import storage_dtype
from p2vit.numerics.softmax import DISTANCE_EXPONENT
from p2vit.quant.attention import guard_bits
from p2vit.quant.lower_norm import affine, layer_norm
from p2vit.quant.lower_operators import add, gate, linear, rotary, score_bias, table, whole
from p2vit.quant.simulated import QuantizedBlock
from p2vit.quant.sites import Sites, halvings


def operator_of(sites: Sites, step: Step) -> Operator:
    """Make the integer operator of one step.

    Args:
        sites: Numbers of the quantized model.
        step: Step of its blueprint.

    Raises:
        ValueError: A scale is not a power of two, or a number does not fit the operator.
    """
    return _OPERATORS[step.operator](sites, step)


def _patchify(sites: Sites, step: Step) -> Operator:
    return Patchify(sites.model.config.patch_size)


def _linear(sites: Sites, step: Step) -> Operator:
    return linear(sites.layer(step), sites.grids.get(step.name))


def _assemble(sites: Sites, step: Step) -> Operator:
    ends = sites.model.ends
    assert ends.prefix is not None
    assert ends.position is not None
    stream = ends.stream
    dtype = str(storage_dtype(stream.bits, signed=True))
    prefix, position = (whole(stream.stored(part), dtype) for part in (ends.prefix, ends.position))
    return AssembleTokens(prefix, position, stream.bits)


def _constant(sites: Sites, step: Step) -> Operator:
    assert sites.model.pooling is not None
    return ConstantTokens(whole(sites.grids[step.name].stored(sites.model.pooling.query), "int8")[None])


def _norm(sites: Sites, step: Step) -> Operator:
    inputs, outputs = sites.grids[step.inputs[0]], sites.grids[step.name]
    return layer_norm(step.shape[-1], inputs, outputs.exponents(), sites.epsilon(step), outputs.bits)


def _affine(sites: Sites, step: Step) -> Operator:
    gain, inputs = sites.gain(step), sites.grids[step.inputs[0]]
    return affine(gain.weight, gain.bias, inputs.exponents(), sites.grids[step.name])


def _gather(sites: Sites, step: Step) -> Operator:
    grid, fill, index = sites.grids[step.inputs[0]], sites.fill(step), step.index
    assert index is not None
    side = index.reshape(len(index), -1).astype(np.int32)
    dtype = str(storage_dtype(grid.bits, signed=True))
    channels = step.shape[-1] // side.shape[1]
    token = np.zeros(channels, dtype) if fill is None else whole(grid.stored(fill), dtype)
    return GatherTokens(side, token)


def _sum(sites: Sites, step: Step) -> Operator:
    return SumTokens(*step.reads, np.full(1, halvings(step), np.int8), sites.grids[step.name].bits)


def _select(sites: Sites, step: Step) -> Operator:
    return SelectToken(step.reads[0])


def _add(sites: Sites, step: Step) -> Operator:
    first, second = (sites.grids[name] for name in step.inputs)
    return add(first, second, sites.grids[step.name])


def _scores(sites: Sites, step: Step) -> Operator:
    block = sites.block(step)
    return Scores(step.heads, block.shape.head_dim, block.score_exponent, step.windows)


def _shift(block: QuantizedBlock) -> NDArray[np.int8]:
    """Return the shift from the scores of each head to the softmax's distances, int8 [H]."""
    return (DISTANCE_EXPONENT - whole(block.score_scale(), "int16")).astype(np.int8)


def _score_bias(sites: Sites, step: Step) -> Operator:
    block = sites.block(step)
    return score_bias(block, _shift(block))


def _softmax(sites: Sites, step: Step) -> Operator:
    block = sites.block(step)
    assert block.softmax in ("linear", "log2")
    return Softmax(_shift(block), block.softmax)


def _values(sites: Sites, step: Step) -> Operator:
    block = sites.block(step)
    grids, shape, form = block.grids, block.shape, block.softmax
    assert form in ("linear", "log2")
    narrow = np.broadcast_to(grids["values"].exponents() - grids["v"].exponents(), (shape.dim,))
    guard = guard_bits(shape.keys, shape.windows is not None and shape.windows.regions is not None)
    return AttentionValues(step.heads, narrow.astype(np.int8), form, guard, windows=step.windows)


def _rotary(sites: Sites, step: Step) -> Operator:
    return rotary(sites.block(step), step.grid)


def _lookup(sites: Sites, step: Step) -> Operator:
    block = sites.block(step)
    return table(block.grids["fc1"], block.grids["gelu"], block.activation, block.table_groups)


def _multiply(sites: Sites, step: Step) -> Operator:
    return gate(sites.block(step))


_OPERATORS: dict[str, Callable[[Sites, Step], Operator]] = {
    kind.__name__: function
    for kind, function in {
        Patchify: _patchify,
        Linear: _linear,
        AssembleTokens: _assemble,
        ConstantTokens: _constant,
        LayerNorm: _norm,
        Affine: _affine,
        GatherTokens: _gather,
        SumTokens: _sum,
        SelectToken: _select,
        Add: _add,
        Scores: _scores,
        ScoreBias: _score_bias,
        Softmax: _softmax,
        AttentionValues: _values,
        Rotary: _rotary,
        Lookup: _lookup,
        Multiply: _multiply,
    }.items()
}
