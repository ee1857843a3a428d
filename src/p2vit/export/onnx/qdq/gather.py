"""Gathering of tokens."""

import numpy as np

from p2vit.export.onnx.common.gather import gathered
from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue
from p2vit.numerics import GatherTokens


@writes(GatherTokens)
def gather(operator: GatherTokens, at: FloatLowering) -> FloatValue:
    """Write Gather along the tokens. The input is quantized already; the fill token comes after the last one."""
    (x,) = at.inputs
    fill = operator.fill.astype(np.int64) + x.tensor_offset
    if x.zero is None:
        row: np.ndarray = np.ldexp(fill.astype(np.float32), x.tensor_exponent)
    else:
        row = (fill + int(x.zero)).astype(x.zero.dtype)
    index = operator.index.astype(np.int64)
    rows = gathered(at.graph, x.source, x.spec.shape[0], index, row, at.spec.shape)
    return FloatValue(at.spec, rows, x.tensor_exponent, x.zero)
