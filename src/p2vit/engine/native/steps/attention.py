"""Emitter of attention: scores, softmax and values in one step."""

from typing import Any

import numpy as np

from p2vit.engine.native.graph import FusionGroup, in_windows
from p2vit.engine.native.tensor_buffers import TensorBuffers
from p2vit.engine.native.weights import int32
from p2vit.numerics import AttentionValues, ScoreBias, Scores, Softmax
from p2vit.numerics.attention_values import QUOTIENT_FRACTION


def _numbers(scores: Scores, softmax: Softmax, values: AttentionValues) -> dict[str, Any]:
    """Return the arguments that the three operators pass to both forms of the step."""
    return {
        "heads": scores.heads,
        "dim": scores.head_dim,
        "softmax_shift": int32(softmax.shift),
        "out_shift": int32(values.shift) + QUOTIENT_FRACTION,
        "log2": values.form == "log2",
        "guard": values.guard,
        "out_bits": values.output_bits,
    }


def attention(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit scores, softmax and values."""
    if in_windows(group.nodes):
        _window_attention(buffers, group)
        return
    scores, softmax, values = group.nodes
    s, p, v = scores.operator, softmax.operator, values.operator
    assert isinstance(s, Scores)
    assert isinstance(p, Softmax)
    assert isinstance(v, AttentionValues)
    if p.form != v.form or s.heads != v.heads or v.shift.size != s.heads * s.head_dim:
        raise ValueError("softmax and values disagree about the form, the heads or the channels")
    queries, keys = buffers.views[scores.inputs[0]], buffers.shape(scores.inputs[1])[0]
    buffers.plan.attention(
        [scores.name, softmax.name, values.name],
        queries=(queries.buffer, queries.column),
        keys=buffers.packs[scores.name, scores.inputs[1]],
        values=buffers.packs[values.name, values.inputs[1]],
        out=buffers.new(values.name),
        count=keys,
        scores_output=buffers.output(scores.name),
        codes_output=buffers.output(softmax.name),
        **_numbers(s, p, v),
    )


def _window_attention(buffers: TensorBuffers, group: FusionGroup) -> None:
    """Emit window attention: scores, their bias and mask, softmax and values."""
    scores, *between, values = group.nodes
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
    queries, keys, attended = (buffers.views[name] for name in (*scores.inputs, values.inputs[1]))
    buffers.plan.window_attention(
        [node.name for node in group.nodes],
        queries=(queries.buffer, queries.column),
        keys=(keys.buffer, keys.column),
        values=(attended.buffer, attended.column),
        out=buffers.new(values.name),
        windows=s.windows,
        count=buffers.shape(scores.name)[2],
        bias=numbers,
        regions=regions,
        masked=masked,
        scores_output=buffers.output(scores.name),
        biased_output=buffers.output(between[0].name) if bias is not None else -1,
        codes_output=buffers.output(between[-1].name),
        **_numbers(s, p, v),
    )
    buffers.shared.add(values.name)
