"""Integer operators on torch tensors: the same integers as ``numerics``, fast enough for whole photo sets.

Matrix products go through ``torch._int_mm`` for every shape that it has shown to compute exactly, otherwise
through float32 products of slices short enough that every partial sum is an integer of at most 2^24, which
float32 holds exactly.
"""

# Each module registers its operators with `compute`.
from p2vit.engine.torch.kernels import (  # noqa: F401
    add,
    affine,
    attention_values,
    gather,
    layernorm,
    linear,
    lookup,
    multiply,
    rotary,
    score_bias,
    scores,
    softmax,
    tokens,
)
from p2vit.engine.torch.kernels.base import Parameters, compute

__all__ = ["Parameters", "compute"]
