"""Gathering of tokens as ONNX operators."""

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.common.tokens import repeated


def gathered(
    graph: OnnxGraph, tokens: str, count: int, index: np.ndarray, fill: np.ndarray, shape: tuple[int, ...]
) -> str:
    """Write ``Gather`` along the tokens. The fill token is appended after the last token.

    Args:
        graph: Graph to which nodes are added.
        tokens: Tensor [B, count, C].
        count: Number of tokens per image.
        index: int64 [T, side], the tokens that are put side by side; −1 is the fill token.
        fill: [C], in the dtype of the tensor.
        shape: (T, side · C).

    Returns:
        Tensor [B, T, side · C].
    """
    if (index < 0).any():
        tokens = graph.op("Concat", tokens, repeated(graph, fill[None], tokens), axis=1)
        index = np.where(index < 0, count, index)
    rows = graph.op("Gather", tokens, index.reshape(-1), axis=1)
    return graph.op("Reshape", rows, np.array([-1, *shape]))
