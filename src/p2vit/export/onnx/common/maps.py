"""Feature maps as outputs of an ONNX model."""

from typing import Any

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.program.graph import TensorSpec
from p2vit.program.maps import FeatureMap


def map_output(graph: OnnxGraph, found: FeatureMap, value: Any, dtype: np.dtype, spec: TensorSpec) -> None:
    """Make a feature map a graph output under its own name, [N, rows, columns, C].

    Args:
        graph: Where to.
        found: The map.
        value: What holds it, [N, first + patches, C].
        dtype: Of the output.
        spec: What it is in the program.
    """
    shape = (*found.grid, spec.shape[-1])
    if found.first:
        bounds = (np.array([at]) for at in (found.first, spec.shape[0], 1))
        value = graph.op("Slice", value, *bounds)
    graph.op("Reshape", value, np.array([0, *shape]), output=found.name)
    graph.output(found.name, dtype, list(shape))
