"""Emitters: each adds the steps of one kind of fusion group to the compiled plan."""

from collections.abc import Callable

from p2vit.engine.native.graph import FusionGroup
from p2vit.engine.native.steps.add import add
from p2vit.engine.native.steps.affine import affine
from p2vit.engine.native.steps.attention import attention
from p2vit.engine.native.steps.gather import gather
from p2vit.engine.native.steps.layernorm import layernorm
from p2vit.engine.native.steps.linear import linear
from p2vit.engine.native.steps.lookup import lookup
from p2vit.engine.native.steps.multiply import multiply
from p2vit.engine.native.steps.rotary import rotary
from p2vit.engine.native.steps.tokens import assemble, constant, patches, select, token_sum
from p2vit.engine.native.tensor_buffers import TensorBuffers
from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    ConstantTokens,
    GatherTokens,
    LayerNorm,
    Linear,
    Lookup,
    Multiply,
    Patchify,
    Rotary,
    Scores,
    SelectToken,
    SumTokens,
)

#: Operator of a group's first node → function that emits its steps.
EMITTERS: dict[type, Callable[[TensorBuffers, FusionGroup], None]] = {
    Patchify: patches,
    Linear: linear,
    AssembleTokens: assemble,
    LayerNorm: layernorm,
    Scores: attention,
    Lookup: lookup,
    Add: add,
    Affine: affine,
    Rotary: rotary,
    Multiply: multiply,
    GatherTokens: gather,
    ConstantTokens: constant,
    SelectToken: select,
    SumTokens: token_sum,
}
