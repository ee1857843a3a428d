"""A program tensor in a float graph: ``stored integer · 2^tensor_exponent``, with Q/DQ where it has 8 bits."""

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
    """What a float graph is to look like.

    Attributes:
        quantize: Off writes the same graph in plain float: what the Q/DQ model is compared with.
        quantize_probabilities: Quantize the softmax's output too, uint8 relative to 1.
        activations: ``int8`` is symmetric with zero point 0, which TensorRT and NPU tools ask for; ``uint8``
            stands for the same numbers with zero point 128, which ONNX Runtime runs faster on x86.
    """

    quantize: bool = True
    quantize_probabilities: bool = False
    activations: Activations = "int8"

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            P2vitError: ``activations`` is not one of the allowed names.
        """
        if self.activations not in ACTIVATIONS:
            allowed = " and ".join(map(repr, ACTIVATIONS))
            raise P2vitError(f"activations is {self.activations!r}; allowed are {allowed}")


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
    carried in a *tensor_exponent*: one exponent E for the whole tensor, in which channel c is held as ``q_c ·
    2^E``, not as its real value ``q_c · 2^e_c``. The factor ``2^(E − e_c)`` disappears into whoever
    writes the tensor (a LayerNorm's scale), and its inverse into whoever reads it: the program's integer
    weights have absorbed ``2^e_c`` already, so in the tensor_exponent they are int8 weights with one power of two
    per output channel.

    Attributes:
        spec: The program's tensor.
        source: ONNX tensor: ``(q + held) · 2^tensor_exponent`` in float, or what DequantizeLinear makes that of.
        tensor_exponent: E.
        zero: Zero point, where ``source`` is quantized.
    """

    spec: TensorSpec
    source: str
    tensor_exponent: int
    zero: np.generic | None = None

    def read(self, graph: OnnxGraph) -> str:
        """ONNX tensor ``(q + held) · 2^tensor_exponent`` for one reader.

        Each reader gets a DequantizeLinear of its own: ONNX Runtime makes int8 kernels only of groups of
        nodes that share none.
        """
        if self.zero is None:
            return self.source
        return graph.op("DequantizeLinear", self.source, power(self.tensor_exponent), self.zero)

    @property
    def tensor_offset(self) -> int:
        """The constant that ``source`` holds besides the stored integer: see :func:`tensor_offset_of`."""
        return tensor_offset_of(self.spec)

    def real(self, graph: OnnxGraph) -> str:
        """ONNX tensor of the real values, ``(q + offset) · 2^e``."""
        exponent = self.spec.exponent.astype(np.int32)
        x = times_power(graph, self.read(graph), exponent - self.tensor_exponent)
        left_out = np.ldexp(np.asarray(self.spec.offset - self.tensor_offset, np.float32), exponent)
        return graph.op("Add", x, left_out) if left_out.any() else x


def tensor_offset_of(spec: TensorSpec) -> int:
    """What a float graph's tensor holds besides the stored integers: the offset, where all channels have the same.

    One zero point then stands for it. Offsets that differ would need one zero point per channel, which tools do not
    take for activations; such a tensor is carried without them, and whoever reads it adds them.
    """
    offsets = np.unique(spec.offset)
    return int(offsets[0]) if offsets.size == 1 else 0


def tensor_exponent_of(spec: TensorSpec) -> int:
    """The exponent that a tensor is carried at: its own, or the largest of its channels'."""
    return int(spec.exponent.max())


def per_channel(value: Int64, channels: int) -> Int64:
    """Broadcast exponents to one per channel."""
    return np.broadcast_to(np.asarray(value, dtype=np.int64), (channels,))
