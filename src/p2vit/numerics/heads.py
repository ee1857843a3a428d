"""Split channels into attention heads."""

from p2vit.numerics.rounding import IntArray


def split_heads(x: IntArray, heads: int, windows: int = 1) -> IntArray:
    """Reshape [B, W·N, H·D] to [B, H, W, N, D], for W windows and H heads."""
    batch, tokens, channels = x.shape
    split = x.reshape(batch, windows, tokens // windows, heads, channels // heads)
    return split.transpose(0, 3, 1, 2, 4)
