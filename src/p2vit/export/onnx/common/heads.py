"""Splitting of channels into heads, and of tokens into windows."""

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph


def heads_first(
    graph: OnnxGraph, x: str, tokens: int, heads: int, windows: int = 1, *, across: bool = False
) -> str:
    """Split channels into heads and tokens into windows.

    Args:
        graph: Graph to which nodes are added.
        x: Tensor [B, W·N, H·D].
        tokens: Number of tokens, W·N.
        heads: Number of heads, H.
        windows: Number of windows, W.
        across: Put D before N, for the right operand of a matrix product.

    Returns:
        Tensor [B, H, W, N, D], or [B, H, N, D] for one window; with ``across``, N and D are exchanged.
    """
    if windows == 1:
        split = graph.op("Reshape", x, np.array([0, tokens, heads, -1]))
        return graph.op("Transpose", split, perm=[0, 2, 3, 1] if across else [0, 2, 1, 3])
    split = graph.op("Reshape", x, np.array([0, windows, tokens // windows, heads, -1]))
    return graph.op("Transpose", split, perm=[0, 3, 1, 4, 2] if across else [0, 3, 1, 2, 4])
