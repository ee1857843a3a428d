"""Activation functions in opset 17, written in the patterns that runtimes fuse."""

import math
from collections.abc import Callable

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph


def activation(graph: OnnxGraph, name: str, x: str) -> str:
    """Write the function of a name in :data:`p2vit.export.onnx.qdq.activation.FUNCTIONS`."""
    return WRITERS[name](graph, x)


def _gelu(graph: OnnxGraph, x: str) -> str:
    erf = graph.op("Erf", graph.op("Div", x, np.float32(math.sqrt(2.0))))
    return graph.op("Mul", graph.op("Mul", x, graph.op("Add", erf, np.float32(1))), np.float32(0.5))


def _gelu_tanh(graph: OnnxGraph, x: str) -> str:
    cube = graph.op("Mul", graph.op("Pow", x, np.float32(3)), np.float32(0.044715))
    inner = graph.op("Mul", graph.op("Add", x, cube), np.float32(math.sqrt(2.0 / math.pi)))
    tanh = graph.op("Add", graph.op("Tanh", inner), np.float32(1))
    return graph.op("Mul", graph.op("Mul", x, tanh), np.float32(0.5))


def _quick_gelu(graph: OnnxGraph, x: str) -> str:
    return graph.op("Mul", x, graph.op("Sigmoid", graph.op("Mul", x, np.float32(1.702))))


def _silu(graph: OnnxGraph, x: str) -> str:
    return graph.op("Mul", x, graph.op("Sigmoid", x))


def _relu(graph: OnnxGraph, x: str) -> str:
    return graph.op("Relu", x)


WRITERS: dict[str, Callable[[OnnxGraph, str], str]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "quick_gelu": _quick_gelu,
    "silu": _silu,
    "relu": _relu,
}
