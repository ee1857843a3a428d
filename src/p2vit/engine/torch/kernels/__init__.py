"""Integer operators on torch tensors; they return the same integers as ``numerics``.

Matrix products use ``torch._int_mm`` for every shape for which a test at run time showed that it is exact. Other shapes
are computed in float32, in slices so short that every partial sum is an integer of at most 2^24, which float32
represents exactly.
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
