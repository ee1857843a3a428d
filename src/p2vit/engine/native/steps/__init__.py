"""The step of the compiled engine that each operator becomes, with its parameters as the engine takes them."""

from collections.abc import Callable

from p2vit.engine.native.graph import Unit
from p2vit.engine.native.places import Places
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

#: Operator that leads a unit → what emits its steps.
EMITTERS: dict[type, Callable[[Places, Unit], None]] = {
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
