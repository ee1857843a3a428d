"""The step of scores, softmax and values, which are one."""

import numpy as np

from p2vit.engine.native.graph import Unit, in_windows
from p2vit.engine.native.places import Places
from p2vit.engine.native.weights import int32
from p2vit.numerics import AttentionValues, ScoreBias, Scores, Softmax
from p2vit.numerics.attention_values import QUOTIENT_FRACTION


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
