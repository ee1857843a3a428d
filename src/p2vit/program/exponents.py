"""Prove that all scales are powers of two and that every shift follows from them.

A stored integer q means ``(q + offset) · 2^e``. A shift re-quantizes from one exponent to another, so each shift of an
operator is a difference of the exponents of its tensors. `relations` states these differences.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    ConstantTokens,
    GatherTokens,
    LayerNorm,
    Linear,
    Lookup,
    Multiply,
    Operator,
    Patchify,
    Rotary,
    ScoreBias,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.numerics.layernorm import rsqrt_table, squares_shift
from p2vit.numerics.rotary import FRACTION as ROTARY_FRACTION
from p2vit.numerics.rounding import IntArray
from p2vit.numerics.softmax import DISTANCE_EXPONENT
from p2vit.program.graph import IntegerProgram, Node, TensorSpec


@dataclass(frozen=True, eq=False)
class Relation:
    """An equality between integers that must hold in a program.

    Attributes:
        what: Name of the checked parameter or exponent, for messages.
        actual: Values in the program; any shape.
        expected: Values that the exponents imply; broadcastable against ``actual``.
    """

    what: str
    actual: IntArray
    expected: IntArray

    @property
    def violations(self) -> int:
        """Number of values that differ; all values if the shapes do not broadcast."""
        try:
            return int((np.asarray(self.actual) != np.asarray(self.expected)).sum())
        except ValueError:
            return max(np.size(self.actual), np.size(self.expected), 1)

    def describe(self) -> str:
        """Describe the first difference."""
        actual, expected = np.asarray(self.actual), np.asarray(self.expected)
        try:
            actual, expected = np.broadcast_arrays(actual, expected)
        except ValueError:
            return f"{self.what} has shape {list(actual.shape)}; expected {list(expected.shape)}"
        places = np.argwhere(actual != expected)
        if not len(places):
            return f"{self.what} holds"
        first = tuple(int(i) for i in places[0])
        at = f" at {list(first)}" if first else ""
        more = f" ({len(places)} of {actual.size} differ)" if actual.size > 1 else ""
        return f"{self.what}{at} is {int(actual[first])}; the exponents imply {int(expected[first])}{more}"


def channel_exponents(spec: TensorSpec) -> IntArray:
    """Return the exponent of each channel of a tensor [..., C] without exponents per head: int64 [C]."""
    return np.broadcast_to(spec.exponent.astype(np.int64).reshape(-1), spec.shape[-1:])


def channel_offsets(spec: TensorSpec) -> IntArray:
    """Return the offset of each channel: int64 [C]."""
    return np.broadcast_to(np.asarray(spec.offset, np.int64).reshape(-1), spec.shape[-1:])


def head_exponents(spec: TensorSpec) -> IntArray:
    """Return the exponent of each head of a tensor [H, N, M] without exponents per key: int64 [H]."""
    return np.broadcast_to(spec.exponent.astype(np.int64).reshape(-1), spec.shape[:1])


def uniform(what: str, values: IntArray) -> Relation:
    """Require that all values are equal to the first."""
    return Relation(what, values, values.reshape(-1)[:1])


def layout(spec: TensorSpec) -> Relation:
    """Require exponents per head for scores [H, N, M], and per channel for other tensors."""
    rank = spec.exponent.ndim if spec.exponent.size > 1 else 0
    wanted = 3 if len(spec.shape) == 3 else 1
    return Relation("number of axes of the exponents", np.asarray(rank), np.asarray(wanted if rank else 0))


@singledispatch
def relations(operator: Operator, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    """Yield every equality that a node must satisfy.

    Args:
        operator: Operator of the node.
        inputs: Specs of its inputs, whose `layout` was checked.
        output: Spec of its output, whose `layout` was checked.
    """
    raise NotImplementedError(f"no exponent rule for {type(operator).__name__}")


def no_offset(*specs: TensorSpec) -> Iterator[Relation]:
    """Require offsets of 0, because the operator does not account for an offset."""
    for spec in specs:
        yield Relation(f"offset of {spec.name}", np.asarray(spec.offset), np.asarray(0))


def same(what: str, output: TensorSpec, source: TensorSpec) -> Relation:
    """Require that the output has the exponents of an input."""
    return Relation(what, channel_exponents(output), channel_exponents(source))


@relations.register
def _(operator: Patchify, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    yield uniform("exponent of the pixels", inputs[0].exponent)
    yield Relation("exponent of the patches", output.exponent, inputs[0].exponent.reshape(-1)[:1])
    yield Relation(
        "offset of the patches, from which 128 was taken",
        np.asarray(output.offset),
        np.asarray(inputs[0].offset + 128),
    )


@relations.register
def _(operator: Linear, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    # Weights and bias have absorbed the input's exponents and offset before they were rounded.
    yield from known(operator.accumulator_exponent, output)
    if operator.accumulator_exponent.size:
        expected = channel_exponents(output) - operator.accumulator_exponent.astype(np.int64)
        yield Relation("shift", operator.shift.astype(np.int64), expected)


@relations.register
def _(operator: Affine, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    yield from known(operator.accumulator_exponent, output)
    if operator.accumulator_exponent.size:
        expected = channel_exponents(output) - operator.accumulator_exponent.astype(np.int64)
        yield Relation("shift", operator.shift.astype(np.int64), expected)


def known(accumulator_exponent: IntArray, output: TensorSpec) -> Iterator[Relation]:
    """Require that the program records one accumulator exponent per channel."""
    yield Relation(
        "number of accumulator exponents", np.asarray(accumulator_exponent.size), np.asarray(output.shape[-1])
    )


@relations.register
def _(operator: AssembleTokens, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    yield same("exponent of the tokens", output, inputs[0])
    yield from no_offset(inputs[0], output)


@relations.register
def _(operator: LayerNorm, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    aligned = channel_exponents(inputs[0]) - operator.input_shift.astype(np.int64)
    yield uniform("exponent after input_shift", aligned)
    table, fraction = rsqrt_table(operator.channels)
    yield Relation("inverse square root table", operator.table.astype(np.int64), table.astype(np.int64))
    expected = fraction + squares_shift(operator.channels) + channel_exponents(output)
    yield Relation("shift", operator.shift.astype(np.int64), expected)
    yield from no_offset(inputs[0], output)


@relations.register
def _(operator: Scores, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    q, k = (channel_exponents(spec).reshape(operator.heads, operator.head_dim) for spec in inputs)
    # Exponents of q and k may differ per channel, but the products that are summed must have the same exponent.
    products = q + k
    yield Relation("exponent of the products q · k within a head", products, products[:, :1])
    yield Relation(
        "exponent of the scores", head_exponents(output), products[:, 0] + np.int64(operator.scale_exponent)
    )
    yield from no_offset(*inputs, output)


@relations.register
def _(operator: ScoreBias, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    # The bias was rounded at the exponent of the scores.
    yield Relation("exponent of the biased scores", head_exponents(output), head_exponents(inputs[0]))
    yield from no_offset(inputs[0], output)


@relations.register
def _(operator: Softmax, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    yield Relation("shift", operator.shift.astype(np.int64), DISTANCE_EXPONENT - head_exponents(inputs[0]))
    yield from no_offset(inputs[0], output)


@relations.register
def _(operator: AttentionValues, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    expected = channel_exponents(output) - channel_exponents(inputs[1])
    yield Relation("shift", operator.shift.astype(np.int64), expected)
    yield from no_offset(*inputs, output)


@relations.register
def _(operator: Lookup, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    # All channels of a group share a table, so they must share exponent and offset. The entries may omit an offset.
    for what, spec in (("input", inputs[0]), ("output", output)):
        for name, values in (("exponent", channel_exponents(spec)), ("offset", channel_offsets(spec))):
            grouped = values.reshape(operator.groups, -1)
            yield Relation(f"{name} of the {what} within a table's channels", grouped, grouped[:, :1])


@relations.register
def _(operator: Add, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    a, b = (
        channel_exponents(spec) - left.astype(np.int64)
        for spec, left in zip(inputs, (operator.left_a, operator.left_b), strict=True)
    )
    yield Relation("exponent of the second operand after left_b", b, a)
    yield Relation("shift", np.broadcast_to(operator.shift, a.shape), channel_exponents(output) - a)
    yield from no_offset(*inputs, output)


@relations.register
def _(operator: SelectToken, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    yield same("exponent of the token", output, inputs[0])
    yield Relation("offset of the token", np.asarray(output.offset), np.asarray(inputs[0].offset))


@relations.register
def _(operator: GatherTokens, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    expected = np.tile(channel_exponents(inputs[0]), operator.index.shape[1])
    yield Relation("exponent of the gathered tokens", channel_exponents(output), expected)
    offsets = np.tile(channel_offsets(inputs[0]), operator.index.shape[1])
    yield Relation("offset of the gathered tokens", channel_offsets(output), offsets)


@relations.register
def _(operator: ConstantTokens, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    # The constants do not depend on the input, so they may have any exponent.
    yield from no_offset(output)


@relations.register
def _(operator: SumTokens, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    expected = channel_exponents(output) - channel_exponents(inputs[0])
    yield Relation("shift", np.broadcast_to(operator.shift, expected.shape), expected)
    yield from no_offset(inputs[0], output)


@relations.register
def _(operator: Rotary, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    # Both channels of a pair are summed, so they must be at one exponent before.
    pairs = channel_exponents(inputs[0]).reshape(-1, 2)
    yield Relation("exponent of the input within a pair of channels", pairs, pairs[:, :1])
    expected = channel_exponents(output) - channel_exponents(inputs[0]) + ROTARY_FRACTION
    yield Relation("shift", np.broadcast_to(operator.shift, expected.shape), expected)
    yield from no_offset(inputs[0], output)


@relations.register
def _(operator: Multiply, inputs: list[TensorSpec], output: TensorSpec) -> Iterator[Relation]:
    gate, linear = inputs
    expected = channel_exponents(output) - channel_exponents(gate) - channel_exponents(linear)
    yield Relation("shift", np.broadcast_to(operator.shift, expected.shape), expected)
    offsets = channel_offsets(gate)
    yield Relation("offset", np.broadcast_to(operator.offset.astype(np.int64), offsets.shape), offsets)
    yield from no_offset(linear, output)


def node_relations(node: Node, tensors: dict[str, TensorSpec]) -> list[Relation]:
    """Return the relations of a node, or only the failing layouts, because relations need correct layouts."""
    specs = [*(tensors[name] for name in node.inputs), tensors[node.name]]
    layouts = [layout(spec) for spec in specs]
    if any(each.violations for each in layouts):
        return layouts
    return list(relations(node.operator, specs[:-1], specs[-1]))


@dataclass(frozen=True)
class ScaleProblem:
    """A shift or exponent that does not follow from the other exponents.

    Attributes:
        node: Name of the node.
        count: Number of wrong values.
        message: Description of the first wrong value.
    """

    node: str
    count: int
    message: str


def fractional_exponents(program: IntegerProgram) -> list[ScaleProblem]:
    """List the exponents that are not integers, so that their scales are not powers of two."""
    found = []
    for name, spec in program.tensors.items():
        if spec.exponent.dtype.kind not in "iu":
            found.append(
                ScaleProblem(name, spec.exponent.size, f"exponents are {spec.exponent.dtype}, not integers")
            )
    return found


def scale_problems(program: IntegerProgram) -> list[ScaleProblem]:
    """List all scales that are not powers of two and all shifts that do not follow from the exponents.

    The scale of the pixels is 1 by definition, so their exponent is 0.

    Returns:
        The problems; empty if there are none.
    """
    found = fractional_exponents(program)
    pixels = program.pixels
    for relation in (
        Relation("exponent of the pixels", pixels.exponent, np.asarray(0)),
        Relation("offset of the pixels", np.asarray(pixels.offset), np.asarray(0)),
    ):
        if relation.violations:
            found.append(ScaleProblem(pixels.name, relation.violations, relation.describe()))
    for node in program.nodes:
        for relation in node_relations(node, program.tensors):
            if relation.violations:
                found.append(ScaleProblem(node.name, relation.violations, relation.describe()))
    return found
