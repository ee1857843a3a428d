"""How each integer operator is written as the float operator it stands for.

Everything is reconstructed from the integers (shifts, tables, gains): a shift is the difference of two
exponents. Tensors are in their gauge (:class:`p2vit.export.qdq.values.FloatValue`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from p2vit.errors import P2vitError
from p2vit.export.activation import FUNCTIONS, recognise
from p2vit.export.onnx_graph import OnnxGraph
from p2vit.export.qdq.activations import activation
from p2vit.export.qdq.values import (
    FloatValue,
    QdqForm,
    gauge_of,
    held_offset,
    per_channel,
    power,
    quantized,
    times_power,
)
from p2vit.numerics import (
    Add,
    Affine,
    AssembleTokens,
    AttentionValues,
    LayerNorm,
    Linear,
    Lookup,
    Operator,
    Patchify,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.numerics.layernorm import INDEX_SHIFT, TABLE_FIRST, squares_shift
from p2vit.numerics.softmax import DISTANCE_EXPONENT
from p2vit.program.graph import IntegerProgram, Node, TensorSpec

#: Scale of quantized probabilities, relative to 1: uint8 holds 0 to 255/256.
PROBABILITY_EXPONENT = -8


@dataclass(frozen=True)
class FloatLowering:
    """One node on its way into a float graph.

    Attributes:
        graph: Where the nodes go.
        program: The whole program.
        node: The node that is lowered.
        inputs: Its inputs, as they are in the graph.
        form: What the model is to look like.
    """

    graph: OnnxGraph
    program: IntegerProgram
    node: Node
    inputs: tuple[FloatValue, ...]
    form: QdqForm

    @property
    def spec(self) -> TensorSpec:
        """What the node writes."""
        return self.program.tensors[self.node.name]

    @property
    def gauge(self) -> int:
        """The exponent that the output is carried at."""
        return gauge_of(self.spec)

    def done(self, x: str) -> FloatValue:
        """The output, computed in its gauge."""
        return quantized(self.graph, self.spec, x, self.form)

    def done_real(self, x: str) -> FloatValue:
        """The output, computed as real values."""
        exponent = self.spec.exponent.astype(np.int32)
        y = times_power(self.graph, x, self.gauge - exponent)
        left_out = np.ldexp(np.asarray(held_offset(self.spec) - self.spec.offset, np.float32), self.gauge)
        return self.done(self.graph.op("Add", y, left_out) if left_out.any() else y)

    def error(self, what: str) -> P2vitError:
        """An error that names the node."""
        return P2vitError(f"node {self.node.name}: {what}")


FLOAT_LOWERINGS: dict[type[Operator], Callable[[Any, FloatLowering], FloatValue]] = {}


def writes(
    kind: type[Operator],
) -> Callable[[Callable[[Any, FloatLowering], FloatValue]], Callable[[Any, FloatLowering], FloatValue]]:
    """Register how an operator class is written."""

    def register(
        function: Callable[[Any, FloatLowering], FloatValue],
    ) -> Callable[[Any, FloatLowering], FloatValue]:
        FLOAT_LOWERINGS[kind] = function
        return function

    return register


def lower_float(at: FloatLowering) -> FloatValue:
    """Lower one node.

    Raises:
        P2vitError: nothing is registered for its operator, or its integers have no float counterpart.
    """
    kind = type(at.node.operator)
    if kind not in FLOAT_LOWERINGS:
        known = ", ".join(sorted(k.__name__ for k in FLOAT_LOWERINGS))
        raise at.error(f"no float form of operator {kind.__name__}; there is one for {known}")
    if np.any(at.spec.offset) and kind not in (Patchify, Lookup, Linear, SelectToken):
        raise at.error(f"its output has offset {at.spec.offset}; {kind.__name__} writes tensors without one")
    for source in at.inputs:
        if np.any(source.spec.offset) and kind not in (Linear, Lookup, SelectToken):
            raise at.error(
                f"{source.spec.name} has offset {source.spec.offset}, "
                "which only a linear layer or a table can absorb"
            )
    with at.graph.scope(at.node.name):
        return FLOAT_LOWERINGS[kind](at.node.operator, at)


@writes(Patchify)
def patchify(operator: Patchify, at: FloatLowering) -> FloatValue:
    """Cut the uint8 pixels; they are quantized already, so one DequantizeLinear is all that is left.

    A patch's stored integer is the pixel less 128, so that ``(q + offset)`` is the pixel less a zero point of
    128 − offset.
    """
    height, width, channels = at.inputs[0].spec.shape
    p, graph = operator.patch_size, at.graph
    grid = graph.op("Reshape", at.inputs[0].source, np.array([-1, height // p, p, width // p, p, channels]))
    rows = graph.op("Transpose", grid, perm=[0, 1, 3, 2, 4, 5])
    patches = graph.op("Reshape", rows, np.array([-1, *at.spec.shape]))
    zero = 128 - held_offset(at.spec)
    if not 0 <= zero <= 255:
        raise at.error(f"its offset is {at.spec.offset}; allowed are −127 to 128")
    return FloatValue(at.spec, patches, at.gauge, np.uint8(zero))


@writes(Linear)
def linear(operator: Linear, at: FloatLowering) -> FloatValue:
    """MatMul with int8 weights and one power of two per output channel, plus a float bias.

    ``x' = (q_x + o) · 2^E``; the accumulator's exponent is the output's less the shift, and the weight's is
    that less E. Both then move to the exponent that the output is carried at.
    The integer bias holds the input's offset already; the part that the float tensor holds is taken off again.
    """
    graph = at.graph
    (x,) = at.inputs
    outputs = operator.weight.shape[0]
    # In its gauge the output's exponent is one for all, and so the accumulator's is that less the shift.
    carried = at.gauge - per_channel(operator.shift.astype(np.int64), outputs)
    across = np.ascontiguousarray(operator.weight.T)
    if at.form.quantize:
        scale = np.ldexp(np.float32(1), (carried - x.gauge).astype(np.int32)).astype(np.float32)
        weight = graph.op("DequantizeLinear", across, scale, np.zeros(outputs, np.int8), axis=1)
    else:
        weight = graph.constant(np.ldexp(across.astype(np.float32), (carried - x.gauge).astype(np.int32)))
    bias = operator.bias.astype(np.int64) - x.held * operator.weight.astype(np.int64).sum(axis=1)
    product = graph.op("MatMul", x.read(graph), weight)
    constant = np.ldexp(bias.astype(np.float64), carried.astype(np.int32))
    constant += np.ldexp(float(held_offset(at.spec)), at.gauge)
    return at.done(graph.op("Add", product, constant.astype(np.float32)))


@writes(AssembleTokens)
def assemble(operator: AssembleTokens, at: FloatLowering) -> FloatValue:
    """Add the position embedding; put the prefix before each image's tokens."""
    graph = at.graph
    (x,) = at.inputs
    exponent = at.spec.exponent.astype(np.int32)
    tokens = graph.op("Add", x.real(graph), np.ldexp(operator.position.astype(np.float32), exponent))
    if operator.prefix.shape[0]:
        batch = graph.op("Slice", graph.op("Shape", tokens), np.array([0]), np.array([1]))
        shape = graph.op("Concat", batch, np.array(operator.prefix.shape), axis=0)
        prefix = graph.op("Expand", np.ldexp(operator.prefix.astype(np.float32), exponent)[None], shape)
        tokens = graph.op("Concat", prefix, tokens, axis=1)
    return at.done_real(tokens)


@writes(LayerNorm)
def layernorm(operator: LayerNorm, at: FloatLowering) -> FloatValue:
    """LayerNormalization; its scale is a power of two per channel, gain and bias are in the next weights."""
    graph = at.graph
    (x,) = at.inputs
    channels, t = operator.channels, squares_shift(operator.channels)
    # The table holds √C · 2^K / √w; its first entry tells K.
    middle = (2 * TABLE_FIRST + 1) << (INDEX_SHIFT - 1)
    fraction = round(math.log2(int(operator.table[0]) * math.sqrt(middle / channels)))
    exponent = operator.shift.astype(np.int32) - fraction - t
    inputs = per_channel(x.spec.exponent.astype(np.int64), channels) - operator.input_shift
    if np.unique(inputs).size != 1:
        raise at.error(
            "its aligned input has no single exponent; input_shift does not fit the input's exponents"
        )
    unit = 2 * (operator.epsilon_shift + t + int(inputs[0]))
    epsilon = math.ldexp(operator.epsilon, unit) / channels**3
    scale = np.ldexp(np.float32(1), at.gauge - exponent).astype(np.float32)
    return at.done(graph.op("LayerNormalization", x.real(graph), scale, epsilon=epsilon, axis=-1))


def heads_first(at: FloatLowering, x: FloatValue, heads: int, perm: list[int]) -> str:
    """[B, N, H·D] → a permutation of [B, N, H, D]."""
    split = at.graph.op("Reshape", x.read(at.graph), np.array([0, x.spec.shape[0], heads, -1]))
    return at.graph.op("Transpose", split, perm=perm)


@writes(Scores)
def scores(operator: Scores, at: FloatLowering) -> FloatValue:
    """MatMul of queries and keys; the softmax scales it to real scores by a power of two."""
    graph = at.graph
    q, k = at.inputs
    left = heads_first(at, q, operator.heads, [0, 2, 1, 3])
    right = heads_first(at, k, operator.heads, [0, 2, 3, 1])
    product = graph.op("MatMul", left, right)
    return FloatValue(at.spec, product, q.gauge + k.gauge)


@writes(Softmax)
def softmax(operator: Softmax, at: FloatLowering) -> FloatValue:
    """Softmax in float; its probabilities are quantized relative to 1 only if asked for."""
    graph = at.graph
    (x,) = at.inputs
    exponent = DISTANCE_EXPONENT - operator.shift.astype(np.int32)[:, None, None]
    logits = times_power(graph, x.read(graph), exponent - x.gauge)
    probabilities = graph.op("Softmax", logits, axis=-1)
    if at.form.quantize and at.form.quantize_probabilities:
        stored = graph.op("QuantizeLinear", probabilities, power(PROBABILITY_EXPONENT), np.uint8(0))
        return FloatValue(at.spec, stored, PROBABILITY_EXPONENT, np.uint8(0))
    return FloatValue(at.spec, probabilities, 0)


@writes(AttentionValues)
def attention_values(operator: AttentionValues, at: FloatLowering) -> FloatValue:
    """MatMul of probabilities and values; the shift per channel is a power of two per channel."""
    graph = at.graph
    codes, v = at.inputs
    mixed = graph.op("MatMul", codes.read(graph), heads_first(at, v, operator.heads, [0, 2, 1, 3]))
    rows = graph.op("Transpose", mixed, perm=[0, 2, 1, 3])
    merged = graph.op("Reshape", rows, np.array([0, *at.spec.shape]))
    return at.done(times_power(graph, merged, at.gauge - v.gauge - operator.shift.astype(np.int32)))


@writes(Lookup)
def table(operator: Lookup, at: FloatLowering) -> FloatValue:
    """The function that the table was made from."""
    (x,) = at.inputs
    name = recognise(operator, x.spec, at.spec)
    if name is None:
        raise at.error(
            f"its table is none of {', '.join(FUNCTIONS)} "
            f"between exponents {np.unique(x.spec.exponent).tolist()} and "
            f"{np.unique(at.spec.exponent).tolist()}, and onnx-qdq writes functions, not tables; "
            "export onnx-integer instead"
        )
    return at.done_real(activation(at.graph, name, x.real(at.graph)))


@writes(Add)
def add(operator: Add, at: FloatLowering) -> FloatValue:
    """Add of real values."""
    a, b = at.inputs
    return at.done_real(at.graph.op("Add", a.real(at.graph), b.real(at.graph)))


@writes(SelectToken)
def select(operator: SelectToken, at: FloatLowering) -> FloatValue:
    """Slice along the tokens; what it reads is quantized already."""
    (x,) = at.inputs
    ends = np.array([operator.index]), np.array([operator.index + 1]), np.array([1])
    return FloatValue(at.spec, at.graph.op("Slice", x.source, *ends), x.gauge, x.zero)


@writes(SumTokens)
def total(operator: SumTokens, at: FloatLowering) -> FloatValue:
    """Sum over tokens times a power of two; the next weights hold what ReduceMean would divide by."""
    graph = at.graph
    (x,) = at.inputs
    end = operator.first + operator.count
    part = graph.op("Slice", x.read(graph), np.array([operator.first]), np.array([end]), np.array([1]))
    summed = graph.op("ReduceSum", part, np.array([1]), keepdims=1)
    return at.done(times_power(graph, summed, at.gauge - x.gauge - operator.shift.astype(np.int32)))


@writes(Affine)
def affine(operator: Affine, at: FloatLowering) -> FloatValue:
    """Mul and Add per channel."""
    graph = at.graph
    (x,) = at.inputs
    shift = operator.shift.astype(np.int32)
    gain = np.ldexp(operator.gain.astype(np.float64), at.gauge - x.gauge - shift).astype(np.float32)
    bias = np.ldexp(operator.bias.astype(np.float64), at.gauge - shift).astype(np.float32)
    return at.done(graph.op("Add", graph.op("Mul", x.read(graph), gain), bias))
