"""The layers of the canonical float form: encoder blocks, patch merging, the attention pooling head."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from p2vit.models.config import Activation
from p2vit.models.windows import BlockShape, Merge


def activate(x: Tensor, kind: Activation) -> Tensor:
    """Apply an MLP activation by its name in `ViTConfig`.

    Args:
        x: Float, any shape.
        kind: ``gelu`` (erf), ``gelu_tanh``, ``quick_gelu`` (x · sigmoid(1.702 x)), or
            ``silu`` (x · sigmoid(x)).

    Returns:
        Float, shape of ``x``.
    """
    if kind == "quick_gelu":
        return x * torch.sigmoid(1.702 * x)
    if kind == "silu":
        return F.silu(x)
    return F.gelu(x, approximate="tanh" if kind == "gelu_tanh" else "none")


def split_heads(x: Tensor, heads: int, windows: int = 1) -> Tensor:
    """Reshape [B, W·N, C] to [B, H, W, N, D], or to [B, H, N, D] for one window. Head h has channels h·D to h·D+D−1."""
    if windows == 1:
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)
    return x.unflatten(1, (windows, -1)).unflatten(-1, (heads, -1)).permute(0, 3, 1, 2, 4)


def merge_heads(x: Tensor) -> Tensor:
    """Reshape [B, H, W, N, D] or [B, H, N, D] back to [B, W·N, C]."""
    return x.flatten(2, -2).transpose(1, 2).flatten(2)


def gather_tokens(x: Tensor, index: Tensor, fill: Tensor | None = None) -> Tensor:
    """Gather tokens by an index; the index −1 gives ``fill``.

    Args:
        x: Float [B, T, C].
        index: int64 [T_out].
        fill: Float [C]; zeros if None.

    Returns:
        Float [B, T_out, C].
    """
    if bool((index >= 0).all()):
        return x[:, index]
    row = x.new_zeros(x.shape[-1]) if fill is None else fill
    return torch.cat([x, row.expand(len(x), 1, -1)], dim=1)[:, index]


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn neighbouring channels.

    Args:
        x: Float [..., N, D].
        cosine: Float [N, D / 2].
        sine: Float [N, D / 2].

    Returns:
        Float, shape of ``x``.
    """
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cosine - b * sine, a * sine + b * cosine], dim=-1).flatten(-2)


class PatchMerging(nn.Module):
    """Patch merging of Swin: concatenate four neighbouring tokens, LayerNorm, linear layer to twice the channels.

    The linear layer has no bias in the original models, so it is zero here. Quantization writes corrections into it.
    """

    index: Tensor

    def __init__(self, shape: Merge, outputs: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * shape.dim, eps=eps)
        self.reduction = nn.Linear(4 * shape.dim, outputs)
        self.register_buffer("index", torch.tensor(shape.index.astype("int64")), persistent=False)

    def gather(self, x: Tensor) -> Tensor:
        """Concatenate each token's four neighbours: [B, T, C] to [B, T/4, 4·C]."""
        return gather_tokens(x, self.index.flatten()).reshape(len(x), len(self.index), -1)

    def forward(self, x: Tensor) -> Tensor:
        """Merge tokens: [B, T, C] to [B, T/4, 2·C]."""
        return self.reduction(self.norm(self.gather(x)))


class Block(nn.Module):
    """One encoder block: optional patch merging, x + attention(norm1(x)), then x + mlp(norm2(x)).

    A block can run alone, because quantization works block by block.

    Attributes:
        shape: Sizes and windows of the block.
        merge: Patch merging before the block, or None.
        bias_table: Relative position biases, parameter [distances, heads]; None without windows.
        up: Linear layer that the activation multiplies, C -> hidden; None if the MLP is not gated.
        mlp_norm: LayerNorm before ``fc2``, or None.
    """

    window_index: Tensor
    window_inverse: Tensor
    bias_index: Tensor
    mask: Tensor | None
    cosine: Tensor
    sine: Tensor

    def __init__(self, shape: BlockShape, activation: Activation, eps: float) -> None:
        super().__init__()
        C, hidden = shape.dim, shape.mlp_dim
        self.shape = shape
        self.heads = shape.heads
        self.activation: Activation = activation
        self.merge = None if shape.merge is None else PatchMerging(shape.merge, C, eps)
        self.norm1 = nn.LayerNorm(C, eps=eps)
        self.q = nn.Linear(C, C)
        self.k = nn.Linear(C, C)
        self.v = nn.Linear(C, C)
        self.proj = nn.Linear(C, C)
        self.norm2 = nn.LayerNorm(C, eps=eps)
        self.fc1 = nn.Linear(C, hidden)
        self.up = nn.Linear(C, hidden) if shape.gated_mlp else None
        self.mlp_norm = nn.LayerNorm(hidden, eps=eps) if shape.mlp_norm else None
        self.fc2 = nn.Linear(hidden, C)
        if shape.rotary is not None:
            for name, function in (("cosine", np.cos), ("sine", np.sin)):
                table = torch.tensor(function(shape.rotary.angles), dtype=torch.float32)
                self.register_buffer(name, table, persistent=False)
        self.bias_table = None
        if shape.windows is not None:
            w = shape.windows
            self.bias_table = nn.Parameter(torch.zeros(w.bias_rows, shape.heads))
            for name, value in (
                ("window_index", w.index), ("window_inverse", w.inverse), ("bias_index", w.bias_index)
            ):  # fmt: skip
                self.register_buffer(name, torch.tensor(value.astype("int64")), persistent=False)
            apart = None if w.regions is None else w.regions[:, :, None] != w.regions[:, None, :]
            self.register_buffer("mask", None if apart is None else torch.tensor(apart), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block.

        Args:
            x: Residual stream, float [B, tokens, C]; with patch merging, that of the previous stage.

        Returns:
            Float [B, tokens, C].
        """
        if self.merge is not None:
            x = self.merge(x)
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def attention(self, x: Tensor) -> Tensor:
        """Run the attention half without its LayerNorm and its residual add.

        Args:
            x: Output of the LayerNorm, float [B, tokens, C].

        Returns:
            Float [B, tokens, C].
        """
        q, k, v = self.q(x), self.k(x), self.v(x)
        windows = self.shape.windows
        if windows is None:
            q, k, v = (split_heads(part, self.heads) for part in (q, k, v))
            if self.shape.rotary is not None:
                q, k = (rotate(part, self.cosine, self.sine) for part in (q, k))
            return self.proj(merge_heads(F.scaled_dot_product_attention(q, k, v)))
        # A padding token is zero at the input of the linear layers, so their output for it is their bias.
        parts = ((q, self.q), (k, self.k), (v, self.v))
        gathered = (gather_tokens(part, self.window_index, linear.bias) for part, linear in parts)
        q, k, v = (split_heads(part, self.heads, windows.count) for part in gathered)
        scores = q @ k.transpose(-1, -2) * self.shape.head_dim**-0.5 + self.score_bias(q.ndim == 5)
        if self.mask is not None:
            scores = scores.masked_fill(self.mask if q.ndim == 5 else self.mask[0], -torch.inf)
        return self.proj(merge_heads(scores.softmax(dim=-1) @ v)[:, self.window_inverse])

    def score_bias(self, windows: bool = False) -> Tensor:
        """Return the relative position bias: float [H, n, n], or [H, 1, n, n] for scores of several windows."""
        assert self.bias_table is not None
        bias = self.bias_table[self.bias_index].permute(2, 0, 1)
        return bias.unsqueeze(1) if windows else bias

    def mlp(self, x: Tensor) -> Tensor:
        """Run the MLP half without its LayerNorm and its residual add.

        Args:
            x: Output of the LayerNorm, float [B, tokens, C].

        Returns:
            Float [B, tokens, C].
        """
        return self.fc2(self.hidden(x))

    def hidden(self, x: Tensor) -> Tensor:
        """What ``fc2`` reads: float [B, tokens, C] to [B, tokens, hidden]."""
        out = activate(self.fc1(x), self.activation)
        if self.up is not None:
            out = out * self.up(x)
        return out if self.mlp_norm is None else self.mlp_norm(out)


class AttentionPool(nn.Module):
    """The pooling head of SigLIP: a learned query attends to all tokens, and an MLP follows.

    Attributes:
        query: Parameter [C]: the query of every image, with the query projection folded in.
    """

    def __init__(self, shape: BlockShape, activation: Activation, eps: float) -> None:
        super().__init__()
        C = shape.dim
        self.heads = shape.heads
        self.activation: Activation = activation
        self.query = nn.Parameter(torch.zeros(C))
        self.k = nn.Linear(C, C)
        self.v = nn.Linear(C, C)
        self.proj = nn.Linear(C, C)
        self.norm2 = nn.LayerNorm(C, eps=eps)
        self.fc1 = nn.Linear(C, shape.mlp_dim)
        self.fc2 = nn.Linear(shape.mlp_dim, C)

    def forward(self, x: Tensor) -> Tensor:
        """Pool normalised tokens: float [B, tokens, C] to [B, C]."""
        return self.mlp_half(self.attention(x))[:, 0]

    def attention(self, x: Tensor) -> Tensor:
        """Run the attention half on normalised tokens: float [B, tokens, C] to [B, 1, C]."""
        query = self.query.expand(len(x), 1, -1)
        q, k, v = (split_heads(part, self.heads) for part in (query, self.k(x), self.v(x)))
        return self.proj(merge_heads(F.scaled_dot_product_attention(q, k, v)))

    def mlp_half(self, x: Tensor) -> Tensor:
        """Run the MLP half with its LayerNorm and its residual add: float [B, 1, C]."""
        return x + self.mlp(self.norm2(x))

    def mlp(self, x: Tensor) -> Tensor:
        """Run the MLP on the output of the LayerNorm: float [B, 1, C]."""
        return self.fc2(activate(self.fc1(x), self.activation))
