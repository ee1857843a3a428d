"""Tokens in another order."""

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.common.tokens import repeated


def gathered(
    graph: OnnxGraph, tokens: str, count: int, index: np.ndarray, fill: np.ndarray, shape: tuple[int, ...]
) -> str:
    """``Gather`` along the tokens; the fill token stands behind the last.

    Args:
        graph: Where the nodes go.
        tokens: Tensor [B, count, C].
        count: Tokens of an image.
        index: int64 [T, side]: token at each place, −1 for the fill token.
        fill: [C], in the tensor's own dtype.
        shape: (T, side · C).

    Returns:
        [B, T, side · C].
    """
    if (index < 0).any():
        tokens = graph.op("Concat", tokens, repeated(graph, fill[None], tokens), axis=1)
        index = np.where(index < 0, count, index)
    rows = graph.op("Gather", tokens, index.reshape(-1), axis=1)
    return graph.op("Reshape", rows, np.array([-1, *shape]))
