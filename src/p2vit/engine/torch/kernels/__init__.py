"""Integer operators on torch tensors; they return the same integers as ``numerics``.

`products` says how integer matrix products stay exact.
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
