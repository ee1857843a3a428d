"""Integer parameters of LayerNorm, and of the affine operator (gain and bias) after it."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2vit.numerics import Affine, LayerNorm
from p2vit.numerics.layernorm import CENTRED_BITS, EPSILON_BITS, rsqrt_table, squares_shift
from p2vit.quant.grid import Grid

#: Bits of the magnitudes of gain and bias. The bias and the product of gain and 16-bit input are at most 2^29 each.
GAIN_BITS, BIAS_BITS = 13, 29


def normal_exponent(channels: int) -> int:
    """Return the exponent at which every normalised value fits 16 bits; its magnitude is at most √C."""
    return math.ceil(math.log2(math.sqrt(channels) / 32767))


def epsilon_parameters(epsilon: float, channels: int, exponent: int) -> tuple[int, int]:
    """Convert the float ε of a LayerNorm to an integer and a shift.

    In units of the sum of squares (``LayerNorm``, step 3) shifted by k, ε is ``ε · C³ · 2^(−2·exponent − 2·(k + t))``
    with t = ``squares_shift(C)``. The shift k is the smallest for which this is at most 2^29.

    Args:
        epsilon: ε of the float layer, in squared units of its input.
        channels: Number of channels, C.
        exponent: Exponent of the input after its channels are aligned.

    Returns:
        ε as an integer, and the shift k.
    """
    if epsilon <= 0:
        return 0, -CENTRED_BITS
    log2 = math.log2(epsilon) + 3 * math.log2(channels) - 2 * exponent - 2 * squares_shift(channels)
    shift = max(-CENTRED_BITS, math.ceil((log2 - EPSILON_BITS) / 2))
    return round(2.0 ** (log2 - 2 * shift)), shift


def layer_norm(channels: int, inputs: Grid, exponents: NDArray | int, epsilon: float, bits: int) -> LayerNorm:
    """Return the integer LayerNorm from a grid to output exponents.

    Args:
        channels: Number of channels, C.
        inputs: Grid of the input.
        exponents: Output exponents, one or [C].
        epsilon: ε of the float layer.
        bits: Output width in bits.
    """
    source = np.broadcast_to(inputs.exponents().astype(np.int64), (channels,))
    least = int(source.min())
    entries, fraction = rsqrt_table(channels)
    shift = np.broadcast_to(fraction + squares_shift(channels) + np.asarray(exponents, np.int64), (channels,))
    value, at = epsilon_parameters(epsilon, channels, least)
    return LayerNorm(
        channels,
        (source - least).astype(np.int8),
        entries,
        shift.astype(np.int8),
        value,
        at,
        input_bits=16,
        output_bits=bits,
    )


def affine(gain: Tensor, bias: Tensor, exponent: NDArray | int, outputs: Grid) -> Affine:
    """Return the integer operator for a gain and bias per channel.

    Args:
        gain: float32 [C].
        bias: float32 [C].
        exponent: Exponent of the input, one or [C].
        outputs: Grid of the output.
    """
    goal = outputs.log2_scale.expand(len(gain))
    inputs = torch.as_tensor(np.asarray(exponent), dtype=torch.float64)
    gain, bias = gain.double(), bias.double()
    tiny = 2.0**-60
    finest = torch.stack(
        [
            torch.ceil(torch.log2(gain.abs().clamp(min=tiny)) - GAIN_BITS),
            torch.ceil(torch.log2(bias.abs().clamp(min=tiny)) - BIAS_BITS) - inputs,
            goal - inputs - 30,
        ]
    ).amax(dim=0)
    accumulator = finest + inputs
    step = torch.exp2(accumulator)
    return Affine(
        torch.floor(gain / torch.exp2(finest) + 0.5).numpy().astype(np.int16),
        torch.floor(bias / step + 0.5).numpy().astype(np.int32),
        (goal - accumulator).numpy().astype(np.int8),
        outputs.bits,
        accumulator_exponent=accumulator.numpy().astype(np.int8),
    )
