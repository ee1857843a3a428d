"""Which activation function a lookup table was made from."""

import math
from collections.abc import Callable

import numpy as np

from p2vit.numerics import Lookup
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


def relu(x: float) -> float:
    """``max(x, 0)``."""
    return max(x, 0.0)


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "relu": relu,
}


def function_table(function: Callable[[float], float], source: TensorSpec, target: TensorSpec) -> np.ndarray:
    """The table that a function gives between two tensors with one exponent each; int64 [256]."""
    step, out = math.ldexp(1.0, int(source.exponent.flat[0])), math.ldexp(1.0, -int(target.exponent.flat[0]))
    exact = [function((i - 128 + source.offset) * step) * out - target.offset for i in range(256)]
    return np.clip(np.floor(np.array(exact) + 0.5), -128, 127).astype(np.int64)


def recognise(operator: Lookup, source: TensorSpec, target: TensorSpec) -> str | None:
    """Name of the function whose rounded values are the table's entries.

    One entry may differ by one from the table made here, for every 32: a value on the edge of two integers is
    rounded to either, depending on whose error function was used.

    Args:
        operator: The table.
        source: What it reads; must have one exponent.
        target: What it writes; must have one exponent.

    Returns:
        The name of the nearest function in :data:`FUNCTIONS`, or None where none fits.
    """
    if np.unique(source.exponent).size != 1 or np.unique(target.exponent).size != 1:
        return None
    errors = {}
    for name, function in FUNCTIONS.items():
        difference = np.abs(function_table(function, source, target) - operator.table)
        if difference.max() <= 1 and np.count_nonzero(difference) <= len(difference) // 32:
            errors[name] = int(difference.sum())
    return min(errors, key=lambda name: errors[name]) if errors else None
