"""Allocation of a program's tensors in the compiled plan: buffers, columns, packed keys and values, outputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from p2vit.engine.native.weights import Weights
from p2vit.program.graph import IntegerProgram, TensorSpec


@dataclass(frozen=True)
class BufferView:
    """The columns of a buffer that hold a tensor.

    Attributes:
        buffer: Index of the buffer in the plan.
        column: First column. It is not 0 for k and v, which share a buffer with q.
        columns: Number of columns.
    """

    buffer: int
    column: int
    columns: int


class TensorBuffers:
    """Allocates a buffer for each tensor of a program.

    Attributes:
        plan: The compiled plan.
        weights: Packed weights of the program.
        outputs: Specs of the tensors that the plan returns, in the order of its outputs.
        views: Tensor name → its columns in a buffer.
        packs: (node name, tensor name) → packed keys or values that attention reads instead of the tensor.
        shared: Tensors written in the current stage of which other threads may have written rows.
    """

    def __init__(self, program: IntegerProgram, plan: Any, weights: Weights) -> None:
        self.program = program
        self.plan = plan
        self.weights = weights
        self.outputs: list[TensorSpec] = []
        self.views: dict[str, BufferView] = {}
        self.packs: dict[tuple[str, str], int] = {}
        self.shared: set[str] = set()
        self._output_index: dict[str, int] = {}

    def add_output(self, name: str) -> None:
        """Add a tensor to the outputs of the plan."""
        spec = self.program.tensors[name]
        self._output_index[name] = self.plan.output(int(np.prod(spec.shape)) * spec.dtype.itemsize)
        self.outputs.append(spec)

    def output(self, name: str) -> int:
        """Return the index of a tensor in the plan's outputs, or −1."""
        return self._output_index.get(name, -1)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, without the batch."""
        return self.program.tensors[name].shape

    def kind(self, name: str) -> str:
        """Return the dtype of a tensor's buffer: ``int8``, ``int16`` or ``int32``.

        Raises:
            ValueError: The tensor has another width, or is unsigned.
        """
        spec = self.program.tensors[name]
        if not spec.signed or spec.bits not in (8, 16, 32):
            raise ValueError(
                f"the engine holds int8, int16 and int32, not {spec.bits} bits, signed {spec.signed}"
            )
        return f"int{spec.bits}"

    def new(self, name: str) -> int:
        """Allocate a buffer for one tensor, and return its index.

        Raises:
            ValueError: The tensor is not a matrix of tokens and channels.
        """
        shape = self.program.tensors[name].shape
        if len(shape) != 2:
            raise ValueError(f"the engine holds tensors of [tokens, channels], not {list(shape)}")
        buffer = self.plan.buffer(shape[0], shape[1], self.kind(name))
        self.views[name] = BufferView(buffer, 0, shape[1])
        return buffer

    def of(self, name: str) -> int:
        """Return the index of the buffer that holds one tensor alone.

        Raises:
            ValueError: The tensor has no buffer, or shares one with others.
        """
        if name not in self.views:
            raise ValueError(f"it reads {name!r}, which is not a tensor of [tokens, channels]")
        value = self.views[name]
        if value.column:
            raise ValueError(f"it reads {name!r}, which shares a buffer with other tensors")
        return value.buffer
