"""Small ONNX graphs run by ONNX Runtime."""

from collections.abc import Callable

import numpy as np
import pytest

from p2vit.export.onnx.common.graph import OnnxGraph


def through(x: np.ndarray, write: Callable[[OnnxGraph, str], str]) -> np.ndarray:
    """What a few nodes make of a batch [B, ...].

    Args:
        x: The input.
        write: Adds nodes to a graph, given the name of the input, and returns the name of the output.
    """
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    graph = OnnxGraph()
    name = write(graph, graph.input("x", x.dtype, x.shape[1:]))
    graph.output(name, x.dtype, [None])
    model = graph.model("small", 18, 9)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([name], {"x": x})[0]
