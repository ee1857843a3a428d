"""Conversion of a program's parameters to the arrays of the compiled engine."""

from typing import Any

import numpy as np

from p2vit.numerics import Linear, Lookup
from p2vit.numerics.lookup import TABLE_CHANNELS
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram, Node


def int32(array: IntArray, size: int | None = None) -> np.ndarray:
    """Convert to a contiguous int32 array; broadcast one number to ``size`` channels."""
    wide = np.asarray(array).astype(np.int32, copy=False)
    return np.ascontiguousarray(wide if size is None else np.broadcast_to(wide, (size,)))


def biased_tables(tables: IntArray) -> np.ndarray:
    """Flatten tables int8 [G, 256], with the sign bit inverted as the engine stores int8: uint8 [G·256]."""
    return (tables.view(np.uint8) ^ np.uint8(128)).ravel()


def fits_epilogue(operator: Lookup, channels: int) -> bool:
    """Return whether a kernel's epilogue can apply the tables: each block of 64 columns must have one table."""
    groups = operator.groups
    return groups == 1 or (groups > 1 and channels >= groups and channels % (groups * TABLE_CHANNELS) == 0)


def column_tables(operator: Lookup, channels: int) -> np.ndarray:
    """Return the tables for an epilogue, one for all columns or one per block of 64: uint8 [blocks · 256]."""
    if operator.groups == 1:
        return biased_tables(operator.table)
    repeat = channels // operator.groups // TABLE_CHANNELS
    return biased_tables(np.repeat(operator.table, repeat, axis=0))


def part_of(operator: Linear) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weight, bias and shift in the engine's dtypes, int8, int32 and int8; without a copy if possible."""
    return (
        operator.weight.astype(np.int8, copy=False),
        int32(operator.bias),
        operator.shift.astype(np.int8, copy=False),
    )


class Weights:
    """Packed weights of a program's linear layers. Each is packed once and shared by all plans.

    Attributes:
        exact: Linear layer → whether its accumulator provably fits int32, including the rounding constant.
    """

    def __init__(self, native: Any, program: IntegerProgram) -> None:
        self._native = native
        self._packed: dict[tuple[str, ...], Any] = {}
        self.exact: dict[str, bool] = {}
        for node in program.of_kind(Linear):
            operator = node.operator
            assert isinstance(operator, Linear)
            try:
                fits = native.fits_int32(*part_of(operator))
            except (TypeError, ValueError) as error:
                raise ValueError(f"native engine: node {node.name}: {error}") from None
            self.exact[node.name] = fits or operator.output_bits == 32

    def pack(self, nodes: list[Node], bits: int) -> Any:
        """Pack layers side by side in the layout of the kernels, for an output width in bits."""
        key = (*(node.name for node in nodes), str(bits))
        if key not in self._packed:
            operators = [node.operator for node in nodes]
            parts = [part_of(op) for op in operators if isinstance(op, Linear)]
            self._packed[key] = self._native.pack(
                parts, bits, all(getattr(op, "weight_bits", 8) <= 4 for op in operators)
            )
        return self._packed[key]

    @property
    def bytes(self) -> int:
        """Bytes of all packed layers."""
        return sum(packed.bytes for packed in self._packed.values())
