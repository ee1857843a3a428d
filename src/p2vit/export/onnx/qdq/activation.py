"""Which activation function a lookup table was made from."""

import math
from collections.abc import Callable

import numpy as np

from p2vit.numerics import Lookup
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import TensorSpec


def gelu(x: float) -> float:
    """Exact GELU, through the error function."""
    return 0.5 * x * (1.0 + math.erf(x / math.sqrt(2.0)))


def gelu_tanh(x: float) -> float:
    """GELU's tanh approximation."""
    return 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def quick_gelu(x: float) -> float:
    """``x · sigmoid(1.702 x)``, as CLIP has it."""
    return x / (1.0 + math.exp(-1.702 * x)) if x > -400.0 else 0.0


def silu(x: float) -> float:
    """``x · sigmoid(x)``, the gate of SwiGLU."""
    return x / (1.0 + math.exp(-x)) if x > -700.0 else 0.0


def relu(x: float) -> float:
    """``max(x, 0)``."""
    return max(x, 0.0)


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "silu": silu,
    "relu": relu,
}


def of_groups(value: IntArray, channels: int, groups: int) -> IntArray | None:
    """One exponent or offset per group of channels, int64 [G]; None where those of a group differ."""
    grouped = np.broadcast_to(np.asarray(value, np.int64).reshape(-1), (channels,)).reshape(groups, -1)
    return grouped[:, 0] if (grouped == grouped[:, :1]).all() else None


def function_table(
    function: Callable[[float], float], source: TensorSpec, target: TensorSpec, groups: int
) -> IntArray | None:
    """The tables that a function gives between two tensors, int64 [G, 256].

    None where exponents or offsets differ within a group.
    """
    channels = source.shape[-1]
    parts = [
        of_groups(np.asarray(value), channels, groups)
        for value in (source.exponent, source.offset, target.exponent, target.offset)
    ]
    if any(part is None for part in parts):
        return None
    rows = []
    for step, offset, out, target_offset in zip(*parts, strict=True):
        rows.append(
            [
                math.ldexp(function(math.ldexp(float(i - 128 + offset), int(step))), -int(out))
                - target_offset
                for i in range(256)
            ]
        )
    return np.clip(np.floor(np.array(rows) + 0.5), -128, 127).astype(np.int64)


def recognise(operator: Lookup, source: TensorSpec, target: TensorSpec) -> str | None:
    """Name of the function whose rounded values are the table's entries.

    One entry may differ by one from the table made here, for every 32: a value on the edge of two integers is
    rounded to either, depending on whose error function was used.

    Args:
        operator: The table.
        source: What it reads; must have one exponent and offset in each group of channels.
        target: What it writes; the same.

    Returns:
        The name of the nearest function in :data:`FUNCTIONS`, or None where none fits.
    """
    errors = {}
    for name, function in FUNCTIONS.items():
        table = function_table(function, source, target, operator.groups)
        if table is None:
            return None
        difference = np.abs(table - operator.table)
        if difference.max() <= 1 and np.count_nonzero(difference) <= difference.size // 32:
            errors[name] = int(difference.sum())
    return min(errors, key=lambda name: errors[name]) if errors else None
