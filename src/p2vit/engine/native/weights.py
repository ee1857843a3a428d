"""A program's parameters in the form that the compiled engine takes them."""

from typing import Any

import numpy as np

from p2vit.numerics import Linear, Lookup
from p2vit.numerics.lookup import TABLE_CHANNELS
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram, Node


def int32(array: IntArray, size: int | None = None) -> np.ndarray:
    """Contiguous int32, broadcast to a size where one number stands for all channels."""
    wide = np.asarray(array).astype(np.int32, copy=False)
    return np.ascontiguousarray(wide if size is None else np.broadcast_to(wide, (size,)))


def biased_tables(tables: IntArray) -> np.ndarray:
    """Tables [G, 256] as the engine holds int8, one behind the other: uint8 with the sign bit inverted."""
    return (tables.view(np.uint8) ^ np.uint8(128)).ravel()


def fits_epilogue(operator: Lookup, channels: int) -> bool:
    """Whether a kernel's epilogue can look a layer's columns up: one table for 64 columns in a row."""
    groups = operator.groups
    return groups == 1 or (groups > 1 and channels >= groups and channels % (groups * TABLE_CHANNELS) == 0)


def column_tables(operator: Lookup, channels: int) -> np.ndarray:
    """Tables for an epilogue: one, or one for each 64 columns: uint8 [blocks · 256]."""
    if operator.groups == 1:
        return biased_tables(operator.table)
    repeat = channels // operator.groups // TABLE_CHANNELS
    return biased_tables(np.repeat(operator.table, repeat, axis=0))


def part_of(operator: Linear) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weight, bias and shift in the dtypes that the engine takes; nothing is copied that has them already."""
    return (
        operator.weight.astype(np.int8, copy=False),
        int32(operator.bias),
        operator.shift.astype(np.int8, copy=False),
    )


class Weights:
    """Packed linear layers of a program, each packed once and shared by all of its plans.

    Attributes:
        exact: Linear layer → whether its accumulator provably fits int32 with its rounding half.
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
        """The layers side by side, in the kernels' layout."""
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
        """Memory of all packed layers."""
        return sum(packed.bytes for packed in self._packed.values())
