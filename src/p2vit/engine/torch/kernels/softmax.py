"""Softmax on torch tensors."""

import numpy as np
import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, compute
from p2vit.engine.torch.kernels.requantize import shift_round
from p2vit.numerics import Softmax
from p2vit.numerics.softmax import (
    ENTRY_SHIFT,
    EXP2_TABLE,
    LARGEST_DISTANCE,
    LARGEST_LINEAR_CODE,
    LARGEST_LOG2_CODE,
    LARGEST_OCTAVES,
    OCTAVE_FACTOR,
    OCTAVE_FACTOR_FRACTION,
    OCTAVE_FRACTION,
    TABLE_BITS,
)


@compute.register
def _(operator: Softmax, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    scores = inputs[0]
    shift = parameters.int32("shift")[:, None, None]
    distance = shift_round(scores.amax(dim=-1, keepdim=True) - scores, shift).clamp_(max=LARGEST_DISTANCE)
    u = (distance * OCTAVE_FACTOR) >> OCTAVE_FACTOR_FRACTION
    if operator.form == "log2":
        return (
            ((u + (1 << (OCTAVE_FRACTION - 1))) >> OCTAVE_FRACTION)
            .clamp_(max=LARGEST_LOG2_CODE)
            .to(torch.uint8)
        )
    table = parameters.made("codes", softmax_codes)
    return table[(u >> (OCTAVE_FRACTION - TABLE_BITS)).long()]


def softmax_codes() -> Tensor:
    """Return the linear code for each distance in octaves: uint8 [3072], indexed by the distance u >> 4."""
    u = np.arange((LARGEST_OCTAVES >> (OCTAVE_FRACTION - TABLE_BITS)) + 1)
    mantissa = EXP2_TABLE.astype(np.int64)[u & ((1 << TABLE_BITS) - 1)]
    shift = ENTRY_SHIFT + (u >> TABLE_BITS)
    return torch.from_numpy(
        np.minimum((mantissa + (1 << (shift - 1))) >> shift, LARGEST_LINEAR_CODE).astype(np.uint8)
    )
