"""The ``onnx-integer`` export: one registered function per operator class writes it with integer ONNX operators."""

from p2vit.export.onnx.integer import (  # noqa: F401  (they register)
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
from p2vit.export.onnx.integer.registry import LOWERINGS, Lowering, lower

__all__ = ["LOWERINGS", "Lowering", "lower"]
