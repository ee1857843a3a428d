"""Rounding shifts and saturation on torch tensors."""

import torch
from torch import Tensor

from p2vit.numerics.rounding import int_range


def shift_round(x: Tensor, shift: Tensor) -> Tensor:
    """Shift int32 numbers right, rounded half up; a negative shift goes left."""
    right, left = shift.clamp(min=0), (-shift).clamp(min=0)
    half = torch.where(right > 0, torch.ones_like(right) << (right - 1).clamp(min=0), torch.zeros_like(right))
    return ((x << left) + half) >> right


def narrow(x: Tensor, bits: int) -> Tensor:
    """Saturate to a signed width: int8 for up to 8 bits, otherwise int16."""
    low, high = int_range(bits, signed=True)
    return x.clamp_(low, high).to(torch.int8 if bits <= 8 else torch.int16)
