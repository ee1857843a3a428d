"""What the compiler hands on."""

from dataclasses import dataclass

import numpy as np

from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram, TensorSpec
from p2vit.rtl.compile.layout import TensorLayout
from p2vit.rtl.top.descriptor import Descriptor, Kind
from p2vit.rtl.top.machine import RtlMachine


@dataclass(frozen=True, eq=False)
class CompiledProgram:
    """A program as one machine executes it.

    Attributes:
        program: What was compiled.
        machine: For which machine.
        descriptors: In order; END last.
        image: uint8 [words, lines]: constants in place, the rest zero.
        constant_words: Words of constants among them.
        pixels: Address of the pixels: rows of the image one after the other, as bytes.
        layouts: Tensor → where it is written.
    """

    program: IntegerProgram
    machine: RtlMachine
    descriptors: tuple[Descriptor, ...]
    image: IntArray
    constant_words: int
    pixels: int
    layouts: dict[str, TensorLayout]

    @property
    def stream(self) -> bytes:
        """The descriptors' bytes."""
        return b"".join(descriptor.to_bytes() for descriptor in self.descriptors)

    @property
    def stores(self) -> tuple[str, ...]:
        """Of every store, in order: the node whose output it writes."""
        return tuple(d.node for d in self.descriptors if d.kind == Kind.STORE)

    def memory_for(self, pixels: IntArray) -> IntArray:
        """The image with one photo in it.

        Args:
            pixels: uint8 [H, W, 3].

        Returns:
            uint8 [words, lines].
        """
        memory = self.image.copy()
        flat = memory.reshape(-1)
        start = self.pixels * self.machine.lines
        flat[start : start + pixels.size] = np.ascontiguousarray(pixels).reshape(-1)
        return memory

    def matrices(self, tensor: IntArray, name: str) -> IntArray:
        """A tensor as the stack of matrices that its layout holds: [stack, rows, columns]."""
        layout = self.layouts[name]
        if layout.transposed:
            channels = tensor.shape[-1] // layout.stack
            return tensor.reshape(-1, layout.stack, channels).transpose(1, 2, 0)
        return tensor.reshape(layout.stack, layout.rows, layout.columns)

    def tensor(self, memory: IntArray, name: str) -> IntArray:
        """A layer's output as it stands in a memory, in the tensor's own shape and dtype."""
        spec: TensorSpec = self.program.tensors[name]
        layout = self.layouts[name]
        matrices = layout.decode(memory, spec.signed)
        if layout.transposed:
            matrices = matrices.transpose(2, 0, 1)  # [tokens, heads, channels of a head]
        return matrices.reshape(spec.shape).astype(spec.dtype)
