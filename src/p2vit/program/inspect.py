"""Summarize a program: one row per node, and totals, for printing and for JSON."""

import math

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from p2vit.numerics import Linear
from p2vit.program.graph import IntegerProgram, Node, TensorSpec, node_macs, width_name


class LayerSummary(BaseModel):
    """Summary of one node."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="name of the node and of the tensor it writes")
    kind: str = Field(description="operator")
    inputs: list[str] = Field(description="tensors it reads")
    shape: list[int] = Field(description="what it writes for one image")
    width: str = Field(description="what its integers are, e.g. int8")
    exponent_low: int = Field(description="finest exponent of what it writes")
    exponent_high: int = Field(description="coarsest")
    offset_low: int = Field(description="smallest constant that the stored integers of a channel leave out")
    offset_high: int = Field(description="largest constant that the stored integers of a channel leave out")
    weight_shape: list[int] | None = Field(description="outputs, inputs; null where there are no weights")
    weight_bits: int | None = Field(description="width of the weights; null where there are none")
    parameter_bytes: int = Field(
        description="weights, biases, tables and shifts as hardware would store them"
    )
    activation_bytes: int = Field(description="what it writes for one image, at its width")
    macs: int = Field(description="multiply-accumulates for one image")


class OutputSummary(BaseModel):
    """One output: logits, a feature, or a feature map."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="name of the node that writes it")
    kind: str = Field(description="logits, feature, or map")
    shape: list[int] = Field(description="numbers; rows, columns and channels of a map")
    width: str = Field(description="int8, int16 or int32")
    exponent_low: int = Field(description="smallest scale exponent over its channels")
    exponent_high: int = Field(description="largest scale exponent over its channels")
    classes: list[str] = Field(description="labels of its channels; empty if they are no classes")


class ProgramSummary(BaseModel):
    """Summary of a program: one row per node, and totals."""

    model_config = ConfigDict(frozen=True)

    layers: list[LayerSummary] = Field(description="one row per node, in order")
    outputs: list[OutputSummary] = Field(description="what every back-end returns, in order")
    pixels: list[int] = Field(description="height, width, channels")
    classes: int = Field(description="labels that are known; 0 if none are")
    weight_bytes: int = Field(description="weights of the linear layers alone, at their widths")
    parameter_bytes: int = Field(description="every parameter")
    peak_activation_bytes: int = Field(
        description="most that is alive at once, tensors freed after their last use"
    )
    macs: int = Field(description="multiply-accumulates for one image")
    provenance: dict = Field(description="as recorded with the program")


def bytes_of(count: int, bits: int) -> int:
    """Return the bytes of ``count`` integers of a width, stored without gaps."""
    return -(-count * bits // 8)


def parameter_bytes(node: Node) -> int:
    """Return the bytes of a node's arrays. Weights count at their width; exponents for the audit do not count."""
    total = 0
    for name in node.operator.array_fields():
        array = getattr(node.operator, name)
        if name == "accumulator_exponent":
            continue
        bits = 8 * array.itemsize
        if isinstance(node.operator, Linear) and name == "weight":
            bits = node.operator.weight_bits
        total += bytes_of(array.size, bits)
    return total


def tensor_bytes(spec: TensorSpec) -> int:
    """Return the bytes of a tensor for one image, at its width."""
    count = 1
    for side in spec.shape:
        count *= side
    return bytes_of(count, spec.bits)


def summarize_node(node: Node, tensors: dict[str, TensorSpec]) -> LayerSummary:
    """Make the row of one node."""
    spec = tensors[node.name]
    linear = node.operator if isinstance(node.operator, Linear) else None
    return LayerSummary(
        name=node.name,
        kind=type(node.operator).__name__,
        inputs=list(node.inputs),
        shape=list(spec.shape),
        width=width_name(spec.bits, spec.signed),
        exponent_low=int(spec.exponent.min()),
        exponent_high=int(spec.exponent.max()),
        offset_low=int(np.min(spec.offset)),
        offset_high=int(np.max(spec.offset)),
        weight_shape=list(linear.weight.shape) if linear else None,
        weight_bits=linear.weight_bits if linear else None,
        parameter_bytes=parameter_bytes(node),
        activation_bytes=tensor_bytes(spec),
        macs=node_macs(node, tensors),
    )


def peak_activation_bytes(program: IntegerProgram) -> int:
    """Return the peak memory of tensors in bytes, for one image, if each tensor is freed after its last use."""
    last_use = {source: position for position, node in enumerate(program.nodes) for source in node.inputs}
    live = {program.pixels.name: tensor_bytes(program.pixels)}
    peak, maps = 0, {each.name for each in program.maps}
    for position, node in enumerate(program.nodes):
        live[node.name] = tensor_bytes(program.tensors[node.name])
        peak = max(peak, sum(live.values()))
        for name in {*node.inputs, node.name}:
            if last_use.get(name, -1) <= position and name != program.output and name not in maps:
                live.pop(name, None)
    return peak


def summarize_outputs(program: IntegerProgram) -> list[OutputSummary]:
    """The rows of a program's outputs."""
    roles: list[tuple[str, str, list[int], tuple[str, ...]]] = []
    if program.output != program.feature:
        numbers = math.prod(program.tensors[program.output].shape)
        roles.append((program.output, "logits", [numbers], program.classes))
    roles.append((program.feature, "feature", [math.prod(program.tensors[program.feature].shape)], ()))
    for each in program.maps:
        channels = program.tensors[each.name].shape[-1]
        roles.append((each.name, "map", [*each.grid, channels], each.classes))
    rows = []
    for name, kind, shape, classes in roles:
        spec = program.tensors[name]
        rows.append(
            OutputSummary(
                name=name,
                kind=kind,
                shape=shape,
                width=width_name(spec.bits, spec.signed),
                exponent_low=int(spec.exponent.min()),
                exponent_high=int(spec.exponent.max()),
                classes=list(classes),
            )
        )
    return rows


def summarize(program: IntegerProgram) -> ProgramSummary:
    """Summarize a program.

    Args:
        program: A program without structural problems.

    Returns:
        One row per node, and totals.
    """
    layers = [summarize_node(node, program.tensors) for node in program.nodes]
    linears = [node.operator for node in program.nodes if isinstance(node.operator, Linear)]
    return ProgramSummary(
        layers=layers,
        outputs=summarize_outputs(program),
        pixels=list(program.pixels.shape),
        classes=len(program.classes),
        weight_bytes=sum(bytes_of(linear.weight.size, linear.weight_bits) for linear in linears),
        parameter_bytes=sum(layer.parameter_bytes for layer in layers),
        peak_activation_bytes=peak_activation_bytes(program),
        macs=sum(layer.macs for layer in layers),
        provenance=program.provenance,
    )
