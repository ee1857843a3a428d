"""Workload of a blueprint: what an accelerator is charged for each operator, from its shape and its widths."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from p2vit.accel.problems import AccelError, suggestion
from p2vit.accel.workload.operations import ACCUMULATOR_BITS, Operation, OperationKind, Workload
from p2vit.accel.workload.precision import Precision
from p2vit.models.blueprint.model import blueprint
from p2vit.models.blueprint.step import PIXELS, Blueprint, Step
from p2vit.models.config import ModelConfig

#: Integer operator → kind of operation. Patchify, GatherTokens and SelectToken only move rows.
KINDS: dict[str, OperationKind] = {
    "Patchify": "move",
    "Linear": "linear",
    "AssembleTokens": "tokens",
    "LayerNorm": "layernorm",
    "Scores": "scores",
    "Softmax": "softmax",
    "AttentionValues": "attention_values",
    "Lookup": "lookup",
    "Add": "add",
    "GatherTokens": "move",
    "ConstantTokens": "tokens",
    "ScoreBias": "score_bias",
    "SelectToken": "move",
    "SumTokens": "pool",
    "Affine": "affine",
    "Rotary": "rotary",
    "Multiply": "multiply",
}
#: Operators that work head by head. Attention × V streams v, its second input.
BY_HEAD = ("Scores", "ScoreBias", "Softmax", "AttentionValues", "Rotary")
#: Bits of a stored number by its width in the blueprint, besides softmax codes.
BITS = {"activation": 8, "stream": 16, "wide": 16, "accumulator": ACCUMULATOR_BITS}
#: Bits of a softmax code that is an exponent; others have 8.
LOG2_BITS = 4
#: Hidden channels that share an activation table, where that divides their number.
TABLE_COLUMNS = 64


@dataclass(frozen=True)
class Widths:
    """Widths of a model's numbers.

    Attributes:
        tensors: Bits of every stored tensor, by name.
        weights: Bits of the weights of every linear layer, by name.
        tables: Number of tables of every lookup, by name.
    """

    tensors: Mapping[str, int]
    weights: Mapping[str, int] = field(default_factory=dict)
    tables: Mapping[str, int] = field(default_factory=dict)


def workload_of_config(config: ModelConfig, precision: Precision | None = None) -> Workload:
    """Make the workload of an architecture for one image, from its shape alone.

    Args:
        config: Shape of the model.
        precision: Weight widths and softmax form; None means 8-bit weights and log2 attention.

    Returns:
        Operations in program order, named like the nodes of the model's program.

    Raises:
        AccelError: ``precision`` names a layer that the model does not have.
    """
    precision, plan = precision or Precision(), blueprint(config)
    bits = {**BITS, "codes": LOG2_BITS if precision.log2_attention else 8}
    linears = [step.name for step in plan.steps if step.operator == "Linear"]
    lookups = {step.name: step.shape[-1] for step in plan.steps if step.operator == "Lookup"}
    widths = Widths(
        {PIXELS: 8, **{step.name: bits[step.width] for step in plan.steps}},
        {name: precision.of(name) for name in linears},
        {name: _tables(hidden) for name, hidden in lookups.items()},
    )
    workload = blueprint_workload(plan, widths)
    precision.check_names(workload)
    return workload


def _tables(hidden: int) -> int:
    """Return the number of activation tables that quantization makes by default for an MLP."""
    return hidden // TABLE_COLUMNS if hidden % TABLE_COLUMNS == 0 else 1


def blueprint_workload(plan: Blueprint, widths: Widths) -> Workload:
    """Make the workload of a blueprint for one image.

    Args:
        plan: Steps in execution order.
        widths: Widths of its tensors and weights.

    Returns:
        One operation per step, in the same order and with the same names.

    Raises:
        AccelError: An operator has no cost model; the message lists all such steps.
    """
    unknown = [
        f"{step.name}: operator {step.operator} has no cost; {suggestion(step.operator, KINDS)}"
        for step in plan.steps
        if step.operator not in KINDS
    ]
    if unknown:
        raise AccelError(f"program {plan.name}", unknown)
    shapes = {PIXELS: plan.pixels, **{step.name: step.shape for step in plan.steps}}
    operations = tuple(_operation(step, shapes, widths) for step in plan.steps)
    constants = next((op.output_bytes for op in operations if op.kind == "tokens"), 0)
    return Workload(plan.name, operations, prod(plan.pixels), constants)


def _operation(step: Step, shapes: Mapping[str, tuple[int, ...]], widths: Widths) -> Operation:
    """Make the operation of one step. Its shape is that of the output."""
    rows, cols = (1, *step.shape)[-2:]
    by_head = step.operator in BY_HEAD
    heads, inner = (step.heads if by_head else 1), 0
    if step.operator == "Linear":
        inner = shapes[step.inputs[0]][-1]
    elif step.operator == "Scores":
        inner = shapes[step.inputs[0]][-1] // heads
    elif step.operator == "AttentionValues":
        inner, cols = shapes[step.inputs[0]][-1], cols // heads
    elif step.operator == "Rotary":
        cols //= heads
    elif step.operator == "SumTokens":
        rows = step.reads[1]
    codes = {"Softmax": step.name, "AttentionValues": step.inputs[0]}.get(step.operator)
    return Operation(
        step.name,
        KINDS[step.operator],
        step.part,
        -1 if step.part == "merge" else step.block,
        rows // step.windows,
        cols,
        inner,
        instances=step.windows * heads,
        heads=heads,
        input_bits=widths.tensors[step.inputs[-1 if by_head else 0]],
        weight_bits=widths.weights.get(step.name, 0),
        output_bits=widths.tensors[step.name],
        log2_codes=codes is not None and widths.tensors[codes] == LOG2_BITS,
        tables=widths.tables.get(step.name, 1),
    )
