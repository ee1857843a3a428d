"""A program tensor in a float graph: ``stored integer · 2^gauge``, with Q/DQ where it has 8 bits."""

from dataclasses import dataclass

import numpy as np

from p2vit.errors import P2vitError
from p2vit.export.onnx_graph import OnnxGraph
from p2vit.export.shifts import Int64
from p2vit.numerics.rounding import int_range
from p2vit.program.graph import TensorSpec


def power(exponent: object) -> np.ndarray:
    """``2^exponent`` in float32, exactly; a scalar where all are equal."""
    exponents = np.asarray(exponent, dtype=np.int32)
    if exponents.size and (exponents == exponents.flat[0]).all():
        exponents = exponents.reshape(-1)[:1].reshape(())
    return np.ldexp(np.float32(1), exponents).astype(np.float32)


def times_power(graph: OnnxGraph, x: str, exponent: object) -> str:
    """Multiply by powers of two, unless all of them are 1."""
    factor = power(exponent)
    return x if (factor == 1).all() else graph.op("Mul", x, factor)


@dataclass(frozen=True)
class FloatValue:
    """A program tensor inside a float graph.

    Tools want one scale per activation tensor, the program may have one per channel. So every tensor is
    carried in a *gauge*: one exponent E for the whole tensor, in which channel c is held as ``q_c ·
    2^E``, not as its real value ``q_c · 2^e_c``. The factor ``2^(E − e_c)`` disappears into whoever
    writes the tensor (a LayerNorm's scale), and its inverse into whoever reads it: the program's integer
    weights have absorbed ``2^e_c`` already, so in the gauge they are int8 weights with one power of two
    per output channel.

    Attributes:
        spec: The program's tensor.
        name: ONNX tensor: ``(q + offset) · 2^gauge``.
        gauge: E.
    """

    spec: TensorSpec
    name: str
    gauge: int

    def real(self, graph: OnnxGraph) -> str:
        """ONNX tensor of the real values, ``(q + offset) · 2^e``."""
        return times_power(graph, self.name, self.spec.exponent.astype(np.int32) - self.gauge)


def gauge_of(spec: TensorSpec) -> int:
    """The exponent that a tensor is carried at: its own, or the largest of its channels'."""
    return int(spec.exponent.max())


def quantized(graph: OnnxGraph, spec: TensorSpec, x: str, *, quantize: bool) -> FloatValue:
    """A tensor that was just computed in its gauge: Q/DQ for 8 bits, as it is for more.

    Args:
        graph: Where the nodes go.
        spec: The program's tensor.
        x: ONNX tensor in the gauge of ``spec``.
        quantize: Off for the float model that the Q/DQ model is compared with.

    Raises:
        P2vitError: an offset that no int8 zero point can hold.
    """
    gauge = gauge_of(spec)
    if spec.bits > 8 or not quantize:
        return FloatValue(spec, x, gauge)
    dtype = np.int8 if spec.signed else np.uint8
    low, high = int_range(8, spec.signed)
    if not low <= -spec.offset <= high:
        raise P2vitError(f"tensor {spec.name}: offset {spec.offset} gives a zero point outside {low}..{high}")
    zero, scale = dtype(-spec.offset), power(gauge)
    stored = graph.op("QuantizeLinear", x, scale, zero)
    return FloatValue(spec, graph.op("DequantizeLinear", stored, scale, zero), gauge)


def per_channel(value: Int64, channels: int) -> Int64:
    """Broadcast exponents to one per channel."""
    return np.broadcast_to(np.asarray(value, dtype=np.int64), (channels,))
