"""The step of the compiled engine that each operator becomes, with its parameters as the engine takes them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from p2vit.engine.native.graph import Unit, in_windows
from p2vit.engine.native.places import Places, Value
from p2vit.engine.native.weights import biased_tables, column_tables, int32
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
    Patchify,
    ScoreBias,
    Scores,
    SelectToken,
    Softmax,
    SumTokens,
)
from p2vit.numerics.attention_values import QUOTIENT_FRACTION
from p2vit.numerics.layernorm import squares_shift
from p2vit.program.graph import PIXELS, Node


def patches(places: Places, unit: Unit) -> None:
    """Pixels to patches."""
    node, operator = unit.nodes[0], unit.operator
    assert isinstance(operator, Patchify)
    if node.inputs[0] != PIXELS:
        raise ValueError("patches are cut from the pixels")
    places.plan.patches([node.name], places.new(node.name), operator.patch_size)


def linear(places: Places, unit: Unit) -> None:
    """One linear layer with its tail, or several side by side."""
    first, operator = unit.nodes[0], unit.operator
    assert isinstance(operator, Linear)
    source = places.of(first.inputs[0])
    tail = unit.nodes[1] if len(unit.nodes) > 1 and not isinstance(unit.nodes[1].operator, Linear) else None
    nodes = [first] if tail else list(unit.nodes)
    exact = places.weights.exact[first.name]
    packed = places.weights.pack(nodes, operator.output_bits if exact else 32)
    if tail is not None:
        _linear_with_tail(places, first, tail, packed, source)
        return
    rows = places.shape(first.name)[0]
    widths = [places.shape(node.name)[1] for node in nodes]
    out = places.plan.buffer(rows, sum(widths), places.kind(first.name))
    names = [node.name for node in nodes]
    if exact:
        places.plan.linear(names, packed, source, out)
    else:
        wide = places.plan.buffer(rows, sum(widths), "int32")
        places.plan.linear(names, packed, source, wide)
        shift = np.concatenate([int32(getattr(node.operator, "shift")) for node in nodes])  # noqa: B009
        places.plan.requantize(names, wide, out, shift)
    column = 0
    for node, width in zip(nodes, widths, strict=True):
        places.values[node.name] = Value(out, column, width)
        column += width


def _linear_with_tail(places: Places, node: Node, tail: Node, packed: Any, source: int) -> None:
    names, operator, out = [node.name, tail.name], tail.operator, places.new(tail.name)
    channels = places.shape(tail.name)[1]
    if isinstance(operator, Lookup):
        places.plan.linear(names, packed, source, out, table=column_tables(operator, channels))
    elif isinstance(operator, AssembleTokens):
        zero = np.zeros(channels, np.int32)
        constant = operator.position.astype(np.int16).ravel()
        residual = {
            "constant": constant,
            "left_own": zero,
            "left_residual": zero,
            "shift": zero,
            "out_bits": operator.output_bits,
        }
        places.plan.linear(names, packed, source, out, out_row_offset=len(operator.prefix), residual=residual)
        _prefix(places, tail, operator, out)
    else:
        assert isinstance(operator, Add)
        own_first = tail.inputs[0] == node.name
        lefts = (operator.left_a, operator.left_b) if own_first else (operator.left_b, operator.left_a)
        residual = {
            "buffer": places.of(tail.inputs[1 if own_first else 0]),
            "left_own": int32(lefts[0], channels),
            "left_residual": int32(lefts[1], channels),
            "shift": int32(operator.shift, channels),
            "out_bits": operator.output_bits,
        }
        places.plan.linear(names, packed, source, out, residual=residual)


def _prefix(places: Places, node: Node, operator: AssembleTokens, out: int) -> None:
    if len(operator.prefix):
        places.plan.constant_rows(
            [node.name], out, operator.prefix.astype(np.int16).ravel(), len(operator.prefix)
        )
    places.shared.add(node.name)


def assemble(places: Places, unit: Unit) -> None:
    """Prefix tokens and position embedding, unfused."""
    node, operator = unit.nodes[0], unit.operator
    assert isinstance(operator, AssembleTokens)
    source, out = places.of(node.inputs[0]), places.new(node.name)
    places.plan.position(
        [node.name], source, out, len(operator.prefix), operator.position.astype(np.int16).ravel()
    )
    _prefix(places, node, operator, out)


def layernorm(places: Places, unit: Unit) -> None:
    """LayerNorm."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, LayerNorm)
    if bool((op.input_shift > 31).any()):
        raise ValueError("an input_shift is above 31")
    places.plan.layernorm(
        [node.name],
        places.of(node.inputs[0]),
        places.new(node.name),
        op.input_shift.astype(np.uint8),
        op.table.astype(np.uint16),
        int32(op.shift),
        op.input_bits,
        op.output_bits,
        op.epsilon,
        op.epsilon_shift,
        squares_shift(op.channels),
    )


def attention(places: Places, unit: Unit) -> None:
    """Scores, softmax and values."""
    if in_windows(unit.nodes):
        _window_attention(places, unit)
        return
    scores, softmax, values = unit.nodes
    s, p, v = scores.operator, softmax.operator, values.operator
    assert isinstance(s, Scores)
    assert isinstance(p, Softmax)
    assert isinstance(v, AttentionValues)
    if p.form != v.form or s.heads != v.heads or v.shift.size != s.heads * s.head_dim:
        raise ValueError("softmax and values disagree about the form, the heads or the channels")
    queries, keys = places.values[scores.inputs[0]], places.shape(scores.inputs[1])[0]
    places.plan.attention(
        [scores.name, softmax.name, values.name],
        queries.buffer,
        queries.column,
        places.packs[scores.name, scores.inputs[1]],
        places.packs[values.name, values.inputs[1]],
        places.new(values.name),
        s.heads,
        s.head_dim,
        keys,
        int32(p.shift),
        int32(v.shift) + QUOTIENT_FRACTION,
        v.form == "log2",
        v.guard,
        v.output_bits,
        places.output(scores.name),
        places.output(softmax.name),
    )


def _window_attention(places: Places, unit: Unit) -> None:
    """Scores, their bias and mask, softmax and values, window by window."""
    scores, *between, values = unit.nodes
    s, p, v = scores.operator, between[-1].operator, values.operator
    assert isinstance(s, Scores)
    assert isinstance(p, Softmax)
    assert isinstance(v, AttentionValues)
    if p.form != v.form or s.heads != v.heads or s.windows != v.windows:
        raise ValueError("scores, softmax and values disagree about the form, the heads or the windows")
    bias = between[0].operator if isinstance(between[0].operator, ScoreBias) else None
    numbers, regions, masked = np.zeros(0, np.int32), np.zeros(0, np.int8), np.zeros(0, np.int32)
    if bias is not None:
        numbers, masked = int32(bias.bias.ravel()), int32(bias.masked)
        regions = np.ascontiguousarray(bias.regions.ravel())
    sources = [places.values[name] for name in (*scores.inputs, values.inputs[1])]
    shown = (scores.name, between[0].name if bias is not None else "", between[-1].name)
    places.plan.window_attention(
        [node.name for node in unit.nodes],
        *((value.buffer, value.column) for value in sources),
        places.new(values.name),
        (s.windows, s.heads, s.head_dim, places.shape(scores.name)[2]),
        int32(p.shift),
        int32(v.shift) + QUOTIENT_FRACTION,
        v.form == "log2",
        v.guard,
        v.output_bits,
        tuple(places.output(name) for name in shown),
        numbers,
        regions,
        masked,
    )
    places.shared.add(values.name)


def gather(places: Places, unit: Unit) -> None:
    """Tokens in another order."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, GatherTokens)
    source, fill = places.of(node.inputs[0]), np.ascontiguousarray(op.fill.astype(np.int16))
    places.plan.gather([node.name], source, places.new(node.name), int32(op.index.ravel()), fill)


def constant(places: Places, unit: Unit) -> None:
    """Tokens that are the same for every image."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, ConstantTokens)
    out = places.new(node.name)
    places.plan.constant_rows([node.name], out, op.tokens.astype(np.int16).ravel(), len(op.tokens))
    places.shared.add(node.name)


def lookup(places: Places, unit: Unit) -> None:
    """A table on its own."""
    node, operator = unit.nodes[0], unit.operator
    assert isinstance(operator, Lookup)
    places.plan.lookup(
        [node.name], places.of(node.inputs[0]), places.new(node.name), biased_tables(operator.table)
    )


def add(places: Places, unit: Unit) -> None:
    """A residual add on its own."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, Add)
    n = places.shape(node.name)[-1]
    a, b = (places.of(name) for name in node.inputs)
    places.plan.add(
        [node.name],
        a,
        b,
        places.new(node.name),
        int32(op.left_a, n),
        int32(op.left_b, n),
        int32(op.shift, n),
    )


def affine(places: Places, unit: Unit) -> None:
    """Gain and bias per channel."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, Affine)
    places.plan.affine(
        [node.name],
        places.of(node.inputs[0]),
        places.new(node.name),
        int32(op.gain),
        int32(op.bias),
        int32(op.shift),
    )


def select(places: Places, unit: Unit) -> None:
    """One token."""
    node, operator = unit.nodes[0], unit.operator
    assert isinstance(operator, SelectToken)
    places.plan.select([node.name], places.of(node.inputs[0]), places.new(node.name), operator.index)


def token_sum(places: Places, unit: Unit) -> None:
    """Sum over tokens."""
    node, op = unit.nodes[0], unit.operator
    assert isinstance(op, SumTokens)
    n = places.shape(node.name)[-1]
    places.plan.token_sum(
        [node.name],
        places.of(node.inputs[0]),
        places.new(node.name),
        op.first,
        op.count,
        int32(op.shift, n),
    )


#: Operator that leads a unit → what emits its steps.
EMITTERS: dict[type, Callable[[Places, Unit], None]] = {
    Patchify: patches,
    Linear: linear,
    AssembleTokens: assemble,
    LayerNorm: layernorm,
    Scores: attention,
    Lookup: lookup,
    Add: add,
    Affine: affine,
    GatherTokens: gather,
    ConstantTokens: constant,
    SelectToken: select,
    SumTokens: token_sum,
}
