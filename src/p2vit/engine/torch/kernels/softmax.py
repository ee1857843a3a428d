"""Softmax on torch tensors."""

import numpy as np
import torch
from torch import Tensor

from p2vit.engine.torch.kernels.base import Parameters, compute
from p2vit.engine.torch.kernels.requantize import shift_round
from p2vit.numerics import Softmax
from p2vit.numerics.softmax import EXP2_TABLE, LOG2_E, OCTAVE_FRACTION, TABLE_BITS


@compute.register
def _(operator: Softmax, inputs: list[Tensor], parameters: Parameters) -> Tensor:
    scores = inputs[0]
    shift = parameters.int32("shift")[:, None, None]
    distance = shift_round(scores.amax(dim=-1, keepdim=True) - scores, shift).clamp_(max=65535)
    # 65535 · 47274 needs 32 unsigned bits: multiply by half (47274 is even) and shift by one less.
    u = (distance * (LOG2_E >> 1)) >> 15
    if operator.form == "log2":
        return ((u + (1 << (OCTAVE_FRACTION - 1))) >> OCTAVE_FRACTION).clamp_(max=15).to(torch.uint8)
    table = parameters.made("codes", softmax_codes)
    return table[(u >> (OCTAVE_FRACTION - TABLE_BITS)).long()]


def softmax_codes() -> Tensor:
    """Code of every (whole, fraction index) pair: uint8 [3072], read with u >> 4."""
    u = np.arange((65535 * LOG2_E >> 16 >> (OCTAVE_FRACTION - TABLE_BITS)) + 1)
    mantissa = EXP2_TABLE.astype(np.int64)[u & ((1 << TABLE_BITS) - 1)]
    shift = 7 + (u >> TABLE_BITS)
    return torch.from_numpy(np.minimum((mantissa + (1 << (shift - 1))) >> shift, 255).astype(np.uint8))
