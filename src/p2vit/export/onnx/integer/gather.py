"""Gathering of tokens."""

import numpy as np

from p2vit.export.onnx.common.gather import gathered
from p2vit.export.onnx.integer.registry import Lowering, lowers
from p2vit.export.onnx.integer.values import ZERO_POINT, Value
from p2vit.numerics import GatherTokens

#: Form of a value → constant that it adds to the stored integers.
FORM_OFFSET = {"stored": 0, "wide": 0, "lifted": ZERO_POINT, "biased": ZERO_POINT}
FORM_DTYPE = {"wide": np.int32, "lifted": np.int32, "biased": np.uint8}


@lowers(GatherTokens)
def gather(operator: GatherTokens, at: Lowering) -> Value:
    """Write ``Gather`` along the tokens, in the form that exists. The fill token comes after the last one."""
    (x,) = at.inputs
    form = x.cheapest
    fill = (operator.fill.astype(np.int64) + FORM_OFFSET[form]).astype(FORM_DTYPE.get(form, x.spec.dtype))
    index = operator.index.astype(np.int64)
    rows = gathered(at.graph, x.form(form), x.spec.shape[0], index, fill, at.spec.shape)
    return Value(at.graph, at.spec, **{form: rows})
