"""Splitting of channels into heads."""

from torch import Tensor


def heads_first(x: Tensor, heads: int, windows: int = 1) -> Tensor:
    """Split channels into heads: [B, W·N, H·D] → [B, H, W, N, D], or [B, H, N, D] for one window."""
    batch, tokens, channels = x.shape
    if windows == 1:
        return x.view(batch, tokens, heads, channels // heads).transpose(1, 2)
    return x.view(batch, windows, tokens // windows, heads, channels // heads).permute(0, 3, 1, 2, 4)
