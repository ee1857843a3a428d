"""The reference: the definition of every integer operator, in pure integers, with proven bit widths.

The code is slow and simple. Every back-end must return the same integers (docs/reference/numerics.md).
This package has no float literal and no true division, and a test checks that.
"""

from p2vit.numerics.add import Add
from p2vit.numerics.affine import Affine
from p2vit.numerics.attention_values import AttentionValues
from p2vit.numerics.gather import ConstantTokens, GatherTokens
from p2vit.numerics.layernorm import LayerNorm
from p2vit.numerics.linear import Linear
from p2vit.numerics.lookup import Lookup
from p2vit.numerics.multiply import Multiply
from p2vit.numerics.operator import Bounds, Operator
from p2vit.numerics.rotary import Rotary
from p2vit.numerics.score_bias import ScoreBias
from p2vit.numerics.scores import Scores
from p2vit.numerics.softmax import Softmax
from p2vit.numerics.tokens import AssembleTokens, Patchify, SelectToken, SumTokens

#: Name in the file format → operator, for every operator of a program.
OPERATORS: dict[str, type[Operator]] = {
    cls.__name__: cls
    for cls in (
        Patchify,
        Linear,
        AssembleTokens,
        LayerNorm,
        Scores,
        Softmax,
        AttentionValues,
        Lookup,
        Add,
        SelectToken,
        SumTokens,
        Affine,
        GatherTokens,
        ConstantTokens,
        ScoreBias,
        Rotary,
        Multiply,
    )
}

__all__ = [
    "OPERATORS",
    "Add",
    "Affine",
    "AssembleTokens",
    "AttentionValues",
    "Bounds",
    "ConstantTokens",
    "GatherTokens",
    "LayerNorm",
    "Linear",
    "Lookup",
    "Multiply",
    "Operator",
    "Patchify",
    "Rotary",
    "ScoreBias",
    "Scores",
    "SelectToken",
    "Softmax",
    "SumTokens",
]
