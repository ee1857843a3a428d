"""Channels as heads."""

from p2vit.numerics.rounding import IntArray


def split_heads(x: IntArray, heads: int, windows: int = 1) -> IntArray:
    """[B, W·N, H·D] → [B, H, W, N, D]."""
    batch, tokens, channels = x.shape
    split = x.reshape(batch, windows, tokens // windows, heads, channels // heads)
    return split.transpose(0, 3, 1, 2, 4)
