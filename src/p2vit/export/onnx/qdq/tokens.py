"""Patches and tokens in float: cut, assembled, selected, gathered, summed."""

import numpy as np

from p2vit.export.onnx.qdq.registry import FloatLowering, writes
from p2vit.export.onnx.qdq.values import FloatValue, held_offset, times_power
from p2vit.numerics import AssembleTokens, ConstantTokens, GatherTokens, Patchify, SelectToken, SumTokens


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


def repeated(at: FloatLowering, rows: np.ndarray, like: str) -> str:
    """Constant rows [T, C] for every image of a tensor [B, ...]: [B, T, C]."""
    graph = at.graph
    batch = graph.op("Slice", graph.op("Shape", like), np.array([0]), np.array([1]))
    return graph.op("Expand", rows[None], graph.op("Concat", batch, np.array(rows.shape), axis=0))


@writes(AssembleTokens)
def assemble(operator: AssembleTokens, at: FloatLowering) -> FloatValue:
    """Add the position embedding; put the prefix before each image's tokens."""
    graph = at.graph
    (x,) = at.inputs
    exponent = at.spec.exponent.astype(np.int32)
    tokens = graph.op("Add", x.real(graph), np.ldexp(operator.position.astype(np.float32), exponent))
    if operator.prefix.shape[0]:
        prefix = repeated(at, np.ldexp(operator.prefix.astype(np.float32), exponent), tokens)
        tokens = graph.op("Concat", prefix, tokens, axis=1)
    return at.done_real(tokens)


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


@writes(GatherTokens)
def gather(operator: GatherTokens, at: FloatLowering) -> FloatValue:
    """Gather along the tokens; what it reads is quantized already. The fill token stands behind the last."""
    graph = at.graph
    (x,) = at.inputs
    tokens, index = x.source, operator.index.astype(np.int64)
    if (index < 0).any():
        fill = operator.fill.astype(np.int64) + x.held
        if x.zero is None:
            rows: np.ndarray = np.ldexp(fill.astype(np.float32), x.gauge)
        else:
            rows = (fill + int(x.zero)).astype(x.zero.dtype)
        tokens = graph.op("Concat", tokens, repeated(at, rows[None], tokens), axis=1)
        index = np.where(index < 0, x.spec.shape[0], index)
    gathered = graph.op("Gather", tokens, index.reshape(-1), axis=1)
    return FloatValue(at.spec, graph.op("Reshape", gathered, np.array([-1, *at.spec.shape])), x.gauge, x.zero)


@writes(ConstantTokens)
def constant(operator: ConstantTokens, at: FloatLowering) -> FloatValue:
    """Expand to the number of images."""
    real = np.ldexp(operator.tokens.astype(np.float32), at.spec.exponent.astype(np.int32))
    return at.done_real(repeated(at, real.astype(np.float32), at.inputs[0].source))
