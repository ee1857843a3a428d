"""Result of the compiler."""

from dataclasses import dataclass

import numpy as np

from p2vit.accel.load_store.jobs import PlacedJob
from p2vit.hdl.compile.layout import TensorLayout
from p2vit.hdl.top.descriptor import Descriptor, Kind
from p2vit.hdl.top.machine import RtlMachine
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram, TensorSpec, node_macs


@dataclass(frozen=True, eq=False)
class CompiledProgram:
    """Program compiled for one machine.

    Attributes:
        program: Integer program.
        machine: RTL machine.
        descriptors: Descriptors in order; the last one is END.
        jobs: Jobs whose loads, runs and stores the descriptors are, in the same order.
        image: Memory image, uint8 [words, lines]: the constants, and zeros elsewhere.
        constant_words: Number of words that hold constants.
        pixels: Word address of the pixels. They are stored as bytes, image row by image row.
        layouts: Tensor → its layout in memory.
    """

    program: IntegerProgram
    machine: RtlMachine
    descriptors: tuple[Descriptor, ...]
    jobs: tuple[PlacedJob, ...]
    image: IntArray
    constant_words: int
    pixels: int
    layouts: dict[str, TensorLayout]

    @property
    def stream(self) -> bytes:
        """Descriptor stream as bytes."""
        return b"".join(descriptor.to_bytes() for descriptor in self.descriptors)

    @property
    def stores(self) -> tuple[str, ...]:
        """Name of the node whose output each store writes, in order of the stores."""
        return tuple(d.node for d in self.descriptors if d.kind == Kind.STORE)

    @property
    def ideal_cycles(self) -> float:
        """Cycles of a photo if every multiplier worked in every cycle; one that splits does two products per cycle."""
        paired = {d.node for d in self.descriptors if d.kind == Kind.ARRAY and d["pairs"]}
        macs = sum(
            node_macs(node, self.program.tensors) / (2 if node.name in paired else 1)
            for node in self.program.nodes
        )
        return macs / (self.machine.lines * self.machine.lanes)

    def memory_for(self, pixels: IntArray) -> IntArray:
        """Return a copy of the memory image with the pixels of one photo.

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
        """Reshape a tensor to the stack of matrices of its layout: [stack, rows, columns]."""
        layout = self.layouts[name]
        if layout.transposed:
            channels = tensor.shape[-1] // layout.stack
            return tensor.reshape(-1, layout.stack, channels).transpose(1, 2, 0)
        return tensor.reshape(layout.stack, layout.rows, layout.columns)

    def tensor(self, memory: IntArray, name: str) -> IntArray:
        """Read the output of a node from a memory, with the tensor's own shape and dtype."""
        spec: TensorSpec = self.program.tensors[name]
        layout = self.layouts[name]
        matrices = layout.decode(memory, spec.signed)
        if layout.transposed:
            matrices = matrices.transpose(2, 0, 1)  # [tokens, heads, channels of a head]
        return matrices.reshape(spec.shape).astype(spec.dtype)
