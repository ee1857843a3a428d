"""Activation functions, recognised from their tables."""

import numpy as np

from p2vit.export.onnx.qdq.activation import FUNCTIONS, recognise
from p2vit.export.onnx.qdq.activations import activation
from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue
from p2vit.numerics import Lookup


@writes(Lookup)
def table(operator: Lookup, at: FloatLowering) -> FloatValue:
    """Write the activation function from which the table was made."""
    (x,) = at.inputs
    name = recognise(operator, x.spec, at.spec)
    if name is None:
        raise at.error(
            f"its table is none of {', '.join(FUNCTIONS)} "
            f"between exponents {np.unique(x.spec.exponent).tolist()} and "
            f"{np.unique(at.spec.exponent).tolist()}, and onnx-qdq writes functions, not tables; "
            "export onnx-integer instead"
        )
    return at.output_real(activation(at.graph, name, x.real(at.graph)))
