"""Channels as heads."""

import numpy as np

from p2vit.export.onnx.qdq.registry import FloatLowering
from p2vit.export.onnx.qdq.values import FloatValue


def heads_first(at: FloatLowering, x: FloatValue, heads: int, windows: int = 1, across: bool = False) -> str:
    """[B, W·N, H·D] → [B, H, W, N, D], or [B, H, N, D] for one window; D before N if ``across``."""
    tokens, source = x.spec.shape[0], x.read(at.graph)
    if windows == 1:
        split = at.graph.op("Reshape", source, np.array([0, tokens, heads, -1]))
        return at.graph.op("Transpose", split, perm=[0, 2, 3, 1] if across else [0, 2, 1, 3])
    split = at.graph.op("Reshape", source, np.array([0, windows, tokens // windows, heads, -1]))
    return at.graph.op("Transpose", split, perm=[0, 3, 1, 4, 2] if across else [0, 3, 1, 2, 4])
