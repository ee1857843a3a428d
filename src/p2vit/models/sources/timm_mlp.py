"""Activations and MLPs of timm's blocks."""

from typing import Any

from torch import nn

from p2vit.errors import ModelError
from p2vit.models.config import Activation

# Class name of a timm activation -> ours.
ACTIVATIONS: dict[str, Activation] = {
    "GELU": "gelu",
    "GELUTanh": "gelu_tanh",
    "QuickGELU": "quick_gelu",
    "SiLU": "silu",
}


def activation_of(layer: nn.Module, name: str) -> Activation:
    """Our name of an activation layer."""
    kind = type(layer).__name__
    if kind == "GELU" and getattr(layer, "approximate", "none") == "tanh":
        kind = "GELUTanh"
    if kind not in ACTIVATIONS:
        raise ModelError(
            f"timm's {name}: activation {kind} is not supported; there are {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[kind]


def gated(mlp: Any, name: str) -> bool:
    """Whether an MLP multiplies its activation with a second linear layer (SwiGLU, GEGLU).

    Args:
        mlp: ``mlp`` of a block.
        name: timm's name of the model.

    Raises:
        ModelError: an MLP of a kind that is not supported.
    """
    kind = type(mlp).__name__
    if kind == "Mlp":
        return False
    if kind == "SwiGLU":
        return True
    if kind == "GluMlp" and not mlp.gate_last and mlp.chunk_dim == -1:
        return True
    raise ModelError(
        f"timm's {name}: an MLP of type {kind} is not supported; Mlp, SwiGLU and GluMlp (first half gate) are"
    )
