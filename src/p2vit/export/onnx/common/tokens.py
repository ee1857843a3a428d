"""Patches and tokens as ONNX operators that only move data, for every dtype."""

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph


def patches(graph: OnnxGraph, pixels: str, image: tuple[int, ...], size: int) -> str:
    """Cut images into flattened patches.

    Args:
        graph: Graph to which nodes are added.
        pixels: Tensor [B, H, W, C].
        image: (H, W, C).
        size: Side of a patch in pixels.

    Returns:
        Tensor [B, patches, size · size · C].
    """
    height, width, channels = image
    down, across = height // size, width // size
    grid = graph.op("Reshape", pixels, np.array([-1, down, size, across, size, channels]))
    rows = graph.op("Transpose", grid, perm=[0, 1, 3, 2, 4, 5])
    return graph.op("Reshape", rows, np.array([-1, down * across, size * size * channels]))


def repeated(graph: OnnxGraph, rows: np.ndarray, like: str) -> str:
    """Repeat constant rows [T, C] for every image of a tensor ``like`` [B, ...]: [B, T, C]."""
    batch = graph.op("Slice", graph.op("Shape", like), np.array([0]), np.array([1]))
    return graph.op("Expand", rows[None], graph.op("Concat", batch, np.array(rows.shape), axis=0))


def selected(graph: OnnxGraph, tokens: str, first: int, count: int = 1) -> str:
    """Select the tokens ``first`` to ``first + count − 1`` of a tensor [B, T, C]."""
    return graph.op("Slice", tokens, np.array([first]), np.array([first + count]), np.array([1]))
