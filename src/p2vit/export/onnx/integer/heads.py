"""Channels as heads, and their windows."""

import numpy as np

from p2vit.export.onnx.integer.registry import Lowering


def heads_first(
    at: Lowering, name: str, heads: int, tokens: int, windows: int = 1, across: bool = False
) -> str:
    """[B, W·N, H·D] → [B, H, W, N, D], or [B, H, N, D] for one window; D before N if ``across``."""
    if windows == 1:
        split = at.graph.op("Reshape", name, np.array([0, tokens, heads, -1]))
        return at.graph.op("Transpose", split, perm=[0, 2, 3, 1] if across else [0, 2, 1, 3])
    split = at.graph.op("Reshape", name, np.array([0, windows, tokens // windows, heads, -1]))
    return at.graph.op("Transpose", split, perm=[0, 3, 1, 4, 2] if across else [0, 3, 1, 2, 4])


def _window(shape: tuple[int, ...], windows: int) -> tuple[int, int]:
    """Queries and keys of one window, from the shape [H, W·N, M] of codes."""
    return shape[1] // windows, shape[2]
