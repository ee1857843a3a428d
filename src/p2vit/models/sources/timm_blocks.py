"""Blocks of timm's ViTs: activations, MLPs, and what must be the same in all of them."""

import math
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


def check_blocks(vit: Any, last: nn.LayerNorm, name: str) -> None:
    """Refuse blocks that differ in what is read from the first one, and other epsilons or scales of attention.

    Args:
        vit: timm's model.
        last: LayerNorm before the head.
        name: timm's name of the model.

    Raises:
        ModelError: naming the block and what of it differs.
    """
    first = vit.blocks[0]
    norms = {"the last norm": last.eps}
    before = getattr(vit, "norm_pre", None)
    if isinstance(before, nn.LayerNorm):
        norms["norm_pre"] = before.eps
    for number, block in enumerate(vit.blocks):
        norms |= {f"blocks.{number}.{each}": getattr(block, each).eps for each in ("norm1", "norm2")}
        if isinstance(block.mlp.norm, nn.LayerNorm):
            norms[f"blocks.{number}.mlp.norm"] = block.mlp.norm.eps
        if gated(block.mlp, name) != gated(first.mlp, name):
            raise ModelError(f"timm's {name}: block {number} has another kind of MLP than block 0")
        if activation_of(block.mlp.act, name) != activation_of(first.mlp.act, name):
            raise ModelError(f"timm's {name}: block {number} has another activation than block 0")
        attention = block.attn
        if attention.num_heads != first.attn.num_heads:
            raise ModelError(f"timm's {name}: block {number} has another number of heads than block 0")
        width = vit.embed_dim // attention.num_heads
        if not math.isclose(attention.scale, width**-0.5, rel_tol=1e-6):
            raise ModelError(
                f"timm's {name}: block {number} scales attention by {attention.scale:g}, only 1/sqrt(head_dim) is "
                "supported"
            )
    for where, epsilon in norms.items():
        if epsilon != first.norm1.eps:
            raise ModelError(
                f"timm's {name}: {where} has the epsilon {epsilon:g}, but blocks.0.norm1 has {first.norm1.eps:g}"
            )


def pool_heads(vit: Any, name: str) -> int:
    """Return the number of heads of an attention pooling head, and refuse heads that are not SigLIP's.

    Args:
        vit: timm's model.
        name: timm's name of the model.

    Returns:
        Number of heads; 0 if the blocks have as many.

    Raises:
        ModelError: The pooling head has an unsupported part. The message names it.
    """
    pool, block = vit.attn_pool, vit.blocks[0]
    kind = type(pool).__name__
    if kind != "AttentionPoolLatent" or pool.mlp is None:
        raise ModelError(f"timm's {name}: a pooling head of type {kind} is not supported, only SigLIP's")
    if pool.latent_len != 1 or pool.pos_embed is not None:
        raise ModelError(
            f"timm's {name}: a pooling head with several queries or with positions is not supported"
        )
    if not isinstance(pool.q_norm, nn.Identity):
        raise ModelError(f"timm's {name}: a pooling head with normalised queries and keys is not supported")
    if activation_of(pool.mlp.act, name) != activation_of(block.mlp.act, name):
        raise ModelError(
            f"timm's {name}: a pooling head with an activation different from the blocks is not supported"
        )
    if pool.norm.eps != block.norm1.eps:
        raise ModelError(
            f"timm's {name}: a pooling head with an epsilon different from the blocks is not supported"
        )
    return 0 if pool.num_heads == block.attn.num_heads else pool.num_heads
