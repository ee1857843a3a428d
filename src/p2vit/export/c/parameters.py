"""Constants of a program as C: small arrays as text, and weights as one block of bytes."""

import re
from dataclasses import dataclass, field

import numpy as np

from p2vit.export.c.plan import PACKED_BITS
from p2vit.numerics import Linear
from p2vit.numerics.rounding import IntArray

C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t"}
#: Numbers per line of a C array.
PER_LINE = 24


def identifier(name: str) -> str:
    """Convert the name of a tensor to a C identifier."""
    return re.sub(r"\W", "_", name)


def array_text(values: IntArray) -> str:
    """Format numbers for a C initialiser."""
    # C has no literal for −2147483648: 2147483648 does not fit an int.
    words = [str(v) if v > -(1 << 31) else "(-2147483647 - 1)" for v in values.reshape(-1).tolist()]
    lines = [", ".join(words[start : start + PER_LINE]) for start in range(0, len(words), PER_LINE)]
    return ",\n    ".join(lines)


@dataclass
class Parameters:
    """Constants of a program. An array that several nodes use is stored once.

    Attributes:
        arrays: C name → array, in the order of first use.
        weights: Weights of all linear layers, one after the other.
    """

    arrays: dict[str, IntArray] = field(default_factory=dict)
    weights: bytearray = field(default_factory=bytearray)
    _names: dict[tuple[str, bytes], str] = field(default_factory=dict)

    def array(self, node: str, what: str, values: IntArray) -> str:
        """Add an array, and return its C name; equal arrays share one name."""
        values = np.ascontiguousarray(values)
        key = (values.dtype.name, values.tobytes())
        if key not in self._names:
            name = f"{identifier(node)}_{what}"
            while name in self.arrays:
                name += "_"
            self._names[key] = name
            self.arrays[name] = values
        return self._names[key]

    def weight(self, operator: Linear) -> tuple[int, bool]:
        """Append the weights of a linear layer.

        Returns:
            Offset of the first weight in bytes, and whether a byte has two weights.
        """
        start, packed = len(self.weights), operator.weight_bits <= PACKED_BITS
        self.weights += pack(operator.weight) if packed else operator.weight.astype(np.int8).tobytes()
        return start, packed

    @property
    def constant_bytes(self) -> int:
        """Bytes of all arrays, without the weights."""
        return sum(values.nbytes for values in self.arrays.values())

    def header(self) -> str:
        """Return the C declarations of all arrays."""
        lines = [
            f"extern const {C_TYPES[values.dtype.name]} {name}[{values.size}];"
            for name, values in self.arrays.items()
        ]
        return "\n".join(lines)

    def source(self) -> str:
        """Return the C definitions of all arrays."""
        return "\n".join(
            f"const {C_TYPES[values.dtype.name]} {name}[{values.size}] = {{\n    {array_text(values)}}};"
            for name, values in self.arrays.items()
        )


def pack(weight: IntArray) -> bytes:
    """Pack 4-bit weights two in a byte, the first in the lower half; every row starts at a byte."""
    low = weight.astype(np.int64) & 15
    if low.shape[1] % 2:
        low = np.concatenate([low, np.zeros((len(low), 1), np.int64)], axis=1)
    return (low[:, ::2] | low[:, 1::2] << 4).astype(np.uint8).tobytes()
