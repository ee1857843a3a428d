"""Channels as heads, and their windows."""

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph


def heads_first(
    graph: OnnxGraph, x: str, tokens: int, heads: int, windows: int = 1, *, across: bool = False
) -> str:
    """Split channels into heads and tokens into windows.

    Args:
        graph: Where the nodes go.
        x: Tensor [B, W·N, H·D].
        tokens: W·N.
        heads: H.
        windows: W.
        across: Whether D comes before N, as the right operand of a product of rows has it.

    Returns:
        [B, H, W, N, D], or [B, H, N, D] for one window.
    """
    if windows == 1:
        split = graph.op("Reshape", x, np.array([0, tokens, heads, -1]))
        return graph.op("Transpose", split, perm=[0, 2, 3, 1] if across else [0, 2, 1, 3])
    split = graph.op("Reshape", x, np.array([0, windows, tokens // windows, heads, -1]))
    return graph.op("Transpose", split, perm=[0, 3, 1, 4, 2] if across else [0, 3, 1, 2, 4])
