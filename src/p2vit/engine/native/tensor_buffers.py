"""Where the tensors of a program lie in the compiled engine's plan: buffers, columns, packs and outputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from p2vit.engine.native.weights import Weights
from p2vit.program.graph import IntegerProgram, TensorSpec


@dataclass(frozen=True)
class BufferView:
    """Where a tensor lies.

    Attributes:
        buffer: The plan's buffer.
        column: Its first column there: q, k and v lie side by side.
        columns: Its own columns.
    """

    buffer: int
    column: int
    columns: int


class TensorBuffers:
    """Gives every tensor its place, and finds it again.

    Attributes:
        plan: The compiled plan.
        weights: The program's weights, as the engine packs them.
        outputs: Specs of the tensors that the plan writes out, in the order of its outputs.
        values: Tensor → place, for those that lie in a buffer.
        packs: (node, tensor) → what attention reads instead: keys and values are packed like weights.
        shared: Tensors written in the current stage whose rows other threads may hold.
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
        """Have a tensor written out."""
        spec = self.program.tensors[name]
        self._output_index[name] = self.plan.output(int(np.prod(spec.shape)) * spec.dtype.itemsize)
        self.outputs.append(spec)

    def output(self, name: str) -> int:
        """The plan's output of a tensor, or −1 if it has none."""
        return self._output_index.get(name, -1)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without the batch."""
        return self.program.tensors[name].shape

    def kind(self, name: str) -> str:
        """Integers that a tensor's buffer holds: ``int8``, ``int16`` or ``int32``.

        Raises:
            ValueError: the engine has none such.
        """
        spec = self.program.tensors[name]
        if not spec.signed or spec.bits not in (8, 16, 32):
            raise ValueError(
                f"the engine holds int8, int16 and int32, not {spec.bits} bits, signed {spec.signed}"
            )
        return f"int{spec.bits}"

    def new(self, name: str) -> int:
        """A buffer of the tensor's own.

        Raises:
            ValueError: it is no matrix of tokens and channels.
        """
        shape = self.program.tensors[name].shape
        if len(shape) != 2:
            raise ValueError(f"the engine holds tensors of [tokens, channels], not {list(shape)}")
        buffer = self.plan.buffer(shape[0], shape[1], self.kind(name))
        self.views[name] = BufferView(buffer, 0, shape[1])
        return buffer

    def of(self, name: str) -> int:
        """The buffer of a tensor that fills one.

        Raises:
            ValueError: it lies nowhere, or beside others.
        """
        if name not in self.views:
            raise ValueError(f"it reads {name!r}, which is not a tensor of [tokens, channels]")
        value = self.views[name]
        if value.column:
            raise ValueError(f"it reads {name!r}, which lies beside others")
        return value.buffer
