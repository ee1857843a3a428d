"""Lowering of a quantized model to an integer program: exponents become shifts, activations become tables.

The blueprint of the model says which operators there are and what they read. Lowering gives each its integers.
"""

from typing import Any

from numpy.typing import NDArray

from p2vit.models.blueprint.step import Step
from p2vit.program.graph import IntegerProgram, ProgramBuilder
from p2vit.program.preprocessing import Preprocessing
from p2vit.quant.lower_operators import whole
from p2vit.quant.lower_steps import operator_of
from p2vit.quant.simulated import QuantizedViT
from p2vit.quant.sites import Sites


def lower(
    model: QuantizedViT,
    preprocessing: Preprocessing,
    classes: tuple[str, ...] = (),
    provenance: dict[str, Any] | None = None,
) -> IntegerProgram:
    """Make the integer program of a quantized model.

    Args:
        model: Quantized model; all its scales are powers of two and its softmax is ``linear`` or ``log2``.
        preprocessing: Preprocessing of the photos; recorded in the program.
        classes: Labels of the logits.
        provenance: Where the program came from, as JSON values; not part of the program's hash.

    Raises:
        ValueError: A scale is not a power of two, or a shift is out of an operator's range.
    """
    sites = Sites(model)
    plan = sites.blueprint
    builder = ProgramBuilder(plan.pixels)
    for step in plan.steps:
        exponent, offset = output_scale(sites, step)
        builder.add(step.name, operator_of(sites, step), list(step.inputs), exponent, offset)
    return IntegerProgram(
        tuple(builder.nodes),
        builder.tensors,
        plan.output,
        plan.feature,
        preprocessing,
        tuple(classes),
        dict(provenance or {}),
        tuple(each.map for each in model.maps),
    )


def output_scale(sites: Sites, step: Step) -> tuple[NDArray | int, NDArray | int]:
    """Return the exponents and the offsets of a step's output, as the program's tensor has them.

    Args:
        sites: Numbers of the quantized model.
        step: Step of its blueprint.

    Raises:
        ValueError: A scale is not a power of two.
    """
    if (grid := sites.grids.get(step.name)) is not None:
        return grid.exponents(), grid.offsets()
    if step.operator == "Linear":
        return whole(sites.layer(step).log2_scale, "int8"), 0
    if step.operator == "Softmax":
        return (-8 if sites.block(step).softmax == "linear" else 0), 0
    return whole(sites.block(step).score_scale(), "int16").reshape(-1, 1, 1), 0
