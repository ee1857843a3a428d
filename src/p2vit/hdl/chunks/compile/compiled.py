"""Result of the compiler of the chunk organisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from p2vit.hdl.chunks.machine import ChunkMachine
from p2vit.hdl.chunks.top.descriptor import Descriptor, Kind
from p2vit.numerics.rounding import IntArray
from p2vit.program.graph import IntegerProgram, node_macs

#: Trace that shows a tensor: results of the array before table and sum, what the array writes, rows of the LayerNorm
#: before and after gain and bias, codes, patches.
Stream = Literal["result", "written", "norm", "affine", "softmax", "patch"]


@dataclass(frozen=True)
class Part:
    """Part of a tensor in a trace: ``groups`` of ``lines`` channels of some rows.

    Attributes:
        node: Name of the node whose output it is.
        stream: Trace.
        beats: Number of words.
        rows: Number of rows.
        by_row: Whether the words of a row follow each other; otherwise the rows of a group of channels do.
        first_row: First row in the tensor.
        row_step: Distance of the rows in the tensor.
        first_channel: First channel in the tensor.
        channels: Number of channels.
        head: Number of the head, for scores and codes; None for tensors of two dimensions.
    """

    node: str
    stream: Stream
    beats: int
    rows: int
    by_row: bool
    first_row: int = 0
    row_step: int = 1
    first_channel: int = 0
    channels: int = 0
    head: int | None = None


@dataclass(frozen=True, eq=False)
class CompiledChunks:
    """Program compiled for one machine.

    Attributes:
        program: Integer program.
        machine: Machine.
        descriptors: Descriptors in order; the last one is END.
        image: Contents of the external memory, uint8 [words, lines]: constants, and zeros elsewhere.
        pixels: Word address of the pixels, stored as bytes, image row by image row.
        logits: Word address of the logits: four byte planes per group of ``lines``.
        parts: Parts of all tensors, in the order of each trace.
        aliases: Tensor → tensor and row that it is.
        constant_rows: Tensor → rows that are constants, which no trace shows.
        words: Memory → most words in use.
    """

    program: IntegerProgram
    machine: ChunkMachine
    descriptors: tuple[Descriptor, ...]
    image: IntArray
    pixels: int
    logits: int
    parts: tuple[Part, ...]
    aliases: Mapping[str, tuple[str, int]]
    constant_rows: Mapping[str, IntArray]
    words: Mapping[str, int]

    @property
    def stream(self) -> bytes:
        """Descriptor stream as bytes."""
        return b"".join(descriptor.to_bytes() for descriptor in self.descriptors)

    def beats(self, stream: Stream) -> int:
        """Return the number of words in a trace."""
        return sum(part.beats for part in self.parts if part.stream == stream)

    @property
    def ideal_cycles(self) -> float:
        """Cycles of a photo if every multiplier worked in every cycle, with two products where a step has two."""
        doubled = {d.node for d in self.descriptors if d.kind == Kind.ARRAY and (d["pairs"] or d["log2"])}
        macs = sum(
            node_macs(node, self.program.tensors) / (2 if node.name in doubled else 1)
            for node in self.program.nodes
        )
        return macs / self.machine.lines**2

    @property
    def loaded_words(self) -> int:
        """Words that are read from the external memory per photo."""
        return sum(descriptor["words"] for descriptor in self.descriptors if descriptor.kind == Kind.LOAD)

    def memory_for(self, pixels: IntArray) -> IntArray:
        """Return a copy of the external memory with the pixels of one photo, uint8 [H, W, 3]."""
        memory = self.image.copy()
        start = self.pixels * self.machine.lines
        memory.reshape(-1)[start : start + pixels.size] = np.ascontiguousarray(pixels).reshape(-1)
        return memory

    def tensors(self, traces: Mapping[Stream, IntArray]) -> dict[str, IntArray]:
        """Assemble every tensor from the traces.

        Args:
            traces: Trace → integers [beats, lines].

        Returns:
            Node → tensor with its own shape and dtype.
        """
        found: dict[str, IntArray] = {}
        at = dict.fromkeys(traces, 0)
        for part in self.parts:
            spec = self.program.tensors[part.node]
            if part.node not in found:
                found[part.node] = np.zeros(spec.shape, spec.dtype)
                rows = self.constant_rows.get(part.node)
                if rows is not None:
                    found[part.node][: len(rows)] = rows
            begin = at[part.stream]
            at[part.stream] = begin + part.beats
            beats = traces[part.stream][begin : begin + part.beats]
            lines = beats.shape[1]
            shape = (part.rows, -1, lines) if part.by_row else (-1, part.rows, lines)
            numbers = beats.reshape(shape)
            if not part.by_row:
                numbers = numbers.swapaxes(0, 1)
            numbers = numbers.reshape(part.rows, -1)[:, : part.channels]
            target = found[part.node] if part.head is None else found[part.node][part.head]
            rows_of = slice(part.first_row, part.first_row + part.rows * part.row_step, part.row_step)
            target[rows_of, part.first_channel : part.first_channel + part.channels] = numbers
        for name, (source, row) in self.aliases.items():
            found[name] = found[source][row : row + 1]
        return found
