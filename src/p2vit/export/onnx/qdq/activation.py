"""Recognition of the activation function from which a lookup table was made."""

import math
from collections.abc import Callable

import numpy as np

from p2vit.numerics import Lookup
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import TensorSpec


def gelu(x: float) -> float:
    """Return the exact GELU, with the error function."""
    return 0.5 * x * (1.0 + math.erf(x / math.sqrt(2.0)))


def gelu_tanh(x: float) -> float:
    """Return the tanh approximation of GELU."""
    return 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def quick_gelu(x: float) -> float:
    """Return ``x · sigmoid(1.702 x)``, the GELU of CLIP."""
    return x / (1.0 + math.exp(-1.702 * x)) if x > -400.0 else 0.0


def silu(x: float) -> float:
    """``x · sigmoid(x)``, the gate of SwiGLU."""
    return x / (1.0 + math.exp(-x)) if x > -700.0 else 0.0


def relu(x: float) -> float:
    """Return ``max(x, 0)``."""
    return max(x, 0.0)


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "silu": silu,
    "relu": relu,
}


def of_groups(value: IntArray, channels: int, groups: int) -> IntArray | None:
    """Return the exponent or offset of each group of channels, int64 [G]; None if channels of a group differ."""
    grouped = np.broadcast_to(np.asarray(value, np.int64).reshape(-1), (channels,)).reshape(groups, -1)
    return grouped[:, 0] if (grouped == grouped[:, :1]).all() else None


def function_table(
    function: Callable[[float], float], source: TensorSpec, target: TensorSpec, groups: int
) -> IntArray | None:
    """Compute the tables of a function between two tensors, int64 [G, 256].

    Returns None if exponents or offsets differ within a group.
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
    """Return the name of the function from which a table was made.

    One entry in 32 may differ by one from the table computed here: values halfway between two integers are rounded up
    or down, depending on the last bits of the error function.

    Args:
        operator: The table.
        source: Tensor that it reads, with one exponent and offset per group of channels.
        target: Tensor that it writes, with one exponent and offset per group of channels.

    Returns:
        The name of the nearest function in :data:`FUNCTIONS`, or None if no function fits.
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
