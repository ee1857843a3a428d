"""The pieces of the ``onnx-qdq`` export: what a tensor means in float, and how each operator is written."""

from p2vit.export.onnx.qdq import (  # noqa: F401  (they register)
    add,
    affine,
    attention_values,
    gather,
    layernorm,
    linear,
    lookup,
    multiply,
    rotary,
    score_bias,
    scores,
    softmax,
    tokens,
)
from p2vit.export.onnx.qdq.registry import FLOAT_LOWERINGS, FloatLowering, lower_float

__all__ = ["FLOAT_LOWERINGS", "FloatLowering", "lower_float"]
