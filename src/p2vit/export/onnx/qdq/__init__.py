"""The ``onnx-qdq`` export: one registered function per operator class writes it with float ONNX operators."""

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
