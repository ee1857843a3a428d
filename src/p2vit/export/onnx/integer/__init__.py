"""How each integer operator is written with ONNX operators: one registered function per operator class."""

from p2vit.export.onnx.integer import elementwise, layernorm, products, softmax, tokens  # noqa: F401  (they register)
from p2vit.export.onnx.integer.registry import LOWERINGS, Lowering, lower

__all__ = ["LOWERINGS", "Lowering", "lower"]
