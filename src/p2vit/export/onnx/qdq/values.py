"""A program tensor in a float graph, with one scale for all channels and a Q/DQ pair if it has 8 bits."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from p2vit.errors import P2vitError
from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.export.onnx.integer.shifts import Int64
from p2vit.program.graph import TensorSpec

Activations = Literal["int8", "uint8"]


ACTIVATIONS: tuple[Activations, ...] = get_args(Activations)


@dataclass(frozen=True)
class QdqForm:
    """Options of the ``onnx-qdq`` export.

    Attributes:
        quantize: Write Q/DQ pairs. Without them, the graph is plain float and serves for comparison.
        quantize_probabilities: Also quantize the softmax's output, as uint8 relative to 1.
        activations: ``int8`` is symmetric with zero point 0, as TensorRT and NPU tools need it. ``uint8`` represents
            the same numbers with zero point 128; ONNX Runtime runs it faster on x86.
        opset: Opset of the file.
    """

    quantize: bool = True
    quantize_probabilities: bool = False
    activations: Activations = "int8"
    opset: int = 17

    def __post_init__(self) -> None:
        """Check ``activations``.

        Raises:
            P2vitError: ``activations`` is not one of the allowed names.
        """
        if self.activations not in ACTIVATIONS:
            allowed = " and ".join(map(repr, ACTIVATIONS))
            raise P2vitError(f"activations is {self.activations!r}; allowed are {allowed}")


def power(exponent: object) -> np.ndarray:
    """Return ``2^exponent`` in float32, as a scalar if all exponents are equal."""
    exponents = np.asarray(exponent, dtype=np.int32)
    if exponents.size and (exponents == exponents.flat[0]).all():
        exponents = exponents.reshape(-1)[:1].reshape(())
    return np.ldexp(np.float32(1), exponents).astype(np.float32)


def times_power(graph: OnnxGraph, x: str, exponent: object) -> str:
    """Multiply a tensor by powers of two, unless all of them are 1."""
    factor = power(exponent)
    return x if (factor == 1).all() else graph.op("Mul", x, factor)


@dataclass(frozen=True)
class FloatValue:
    """A program tensor inside a float graph.

    Tools need one scale per activation tensor, but a tensor of the program may have one exponent e_c per channel. In
    the graph every tensor has one exponent E: channel c is ``q_c · 2^E`` instead of its real value ``q_c · 2^e_c``. The
    operator that writes the tensor contains the factor ``2^(E − e_c)``, such as the scale of a LayerNorm. The weights
    that read it contain the inverse: the program's integer weights have already absorbed ``2^e_c``, so they stay int8
    weights with one power of two per output channel.

    Attributes:
        spec: The program's tensor.
        source: Name of the ONNX tensor: ``(q + tensor_offset) · 2^tensor_exponent`` in float, or its quantized form.
        tensor_exponent: E, the exponent of the one scale.
        zero: Zero point if ``source`` is quantized, otherwise None.
    """

    spec: TensorSpec
    source: str
    tensor_exponent: int
    zero: np.generic | None = None

    def read(self, graph: OnnxGraph) -> str:
        """Return the float tensor ``(q + tensor_offset) · 2^tensor_exponent`` for one reader.

        Each reader gets its own DequantizeLinear, because ONNX Runtime fuses int8 kernels only if it is not shared.
        """
        if self.zero is None:
            return self.source
        return graph.op("DequantizeLinear", self.source, power(self.tensor_exponent), self.zero)

    @property
    def tensor_offset(self) -> int:
        """Offset that ``source`` includes, see :func:`tensor_offset_of`."""
        return tensor_offset_of(self.spec)

    def real(self, graph: OnnxGraph) -> str:
        """Return the tensor of the real values, ``(q + offset) · 2^e``."""
        exponent = self.spec.exponent.astype(np.int32)
        x = times_power(graph, self.read(graph), exponent - self.tensor_exponent)
        left_out = np.ldexp(np.asarray(self.spec.offset - self.tensor_offset, np.float32), exponent)
        return graph.op("Add", x, left_out) if left_out.any() else x


def tensor_offset_of(spec: TensorSpec) -> int:
    """Return the offset that a tensor of the float graph includes: its offset if all channels have the same, else 0.

    One zero point can represent one offset. Different offsets would need one zero point per channel, which tools do not
    support for activations. Such a tensor does not include its offsets, and its readers add them.
    """
    offsets = np.unique(spec.offset)
    return int(offsets[0]) if offsets.size == 1 else 0


def tensor_exponent_of(spec: TensorSpec) -> int:
    """Return the exponent of a tensor's one scale in the float graph: the largest of its channels' exponents."""
    return int(spec.exponent.max())


def per_channel(value: Int64, channels: int) -> Int64:
    """Broadcast exponents to one per channel, int64 [channels]."""
    return np.broadcast_to(np.asarray(value, dtype=np.int64), (channels,))
