"""A linear head on a feature map, appended to a program that exists already. Importable without torch."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2vit.errors import ProgramError
from p2vit.numerics import Linear
from p2vit.program.check import structure_problems
from p2vit.program.exponents import channel_exponents
from p2vit.program.graph import IntegerProgram, Node, output_spec
from p2vit.program.maps import FeatureMap

#: Width of the weights.
BITS = 8


def with_dense_head(
    program: IntegerProgram,
    weight: Any,
    bias: Any = None,
    *,
    on: str,
    name: str,
    classes: Sequence[str] = (),
) -> IntegerProgram:
    """Append a linear layer that reads every patch of a feature map; its outputs are a further feature map.

    Weights are rounded to the nearest of 8 bits. All outputs have one scale exponent, so classes compare as integers.

    Args:
        program: With feature maps.
        weight: Real numbers [K, C], for the map's real values.
        bias: Real numbers [K]; zeros if None.
        on: Name of the feature map that is read.
        name: Name of the new feature map, int32 [rows, columns, K].
        classes: Label of each of the K outputs, or nothing.

    Returns:
        A new program; the given one stays as it is.

    Raises:
        ProgramError: there is no such map, the name is taken, or numbers are not finite or of another shape.
    """
    source = program.feature_map(on)
    spec = program.tensors[on]
    if spec.bits > BITS:
        raise ProgramError(
            f"the feature map {on!r} is {spec.dtype}: a head reads a map of patch tokens, not of another head"
        )
    goal, offset = _numbers(weight, bias, spec.shape[-1], on)
    if name in program.tensors:
        raise ProgramError(
            f"a head cannot be called {name!r}: the program has a tensor of that name; give another name"
        )
    goal = np.ldexp(goal, channel_exponents(spec).astype(np.int32))
    largest = float(np.abs(goal).max())
    exponent = math.ceil(math.log2(largest / (2 ** (BITS - 1) - 0.5))) if largest else 0
    rounded = np.floor(np.ldexp(offset, -exponent) + 0.5)
    if abs(exponent) > 127 or np.abs(rounded).max(initial=0) >= 1 << 30:
        raise ProgramError(
            f"the head {name!r} has a bias of {np.abs(offset).max():g}, which is too large beside its weights for 32 "
            "bits; scale the map's channels to similar sizes before fitting it"
        )
    half = 2 ** (BITS - 1)
    operator = Linear(
        np.clip(np.floor(np.ldexp(goal, -exponent) + 0.5), -half, half - 1).astype(np.int8),
        rounded.astype(np.int32),
        np.zeros(len(goal), np.int8),
        BITS,
        32,
        accumulator_exponent=np.full(len(goal), exponent, np.int8),
    )
    node = Node(name, operator, (on,))
    made = replace(
        program,
        nodes=(*program.nodes, node),
        tensors={**program.tensors, name: output_spec(node, program.tensors, exponent, 0)},
        maps=(*program.maps, FeatureMap(name, source.grid, None, source.first, tuple(classes))),
    )
    if problems := structure_problems(made):
        raise ProgramError(f"the head {name!r} does not fit: {problems[0]}")
    return made


def _numbers(
    weight: Any, bias: Any, channels: int, on: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights [K, C] and biases [K], checked."""
    try:
        goal = np.asarray(weight, np.float64)
        offset = np.zeros(len(goal)) if bias is None else np.asarray(bias, np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise ProgramError(f"the weights or biases of a head are no numbers: {error}") from None
    if goal.ndim != 2 or goal.shape[1] != channels or not len(goal):
        raise ProgramError(
            f"the weights of a head on {on!r} have shape {list(goal.shape)}; expected [outputs, {channels}]"
        )
    if offset.shape != (len(goal),):
        raise ProgramError(f"there are {offset.size} biases for {len(goal)} outputs of the head on {on!r}")
    if not (np.isfinite(goal).all() and np.isfinite(offset).all()):
        raise ProgramError(f"the head on {on!r} has a weight or a bias that is NaN or infinite")
    return goal, offset
