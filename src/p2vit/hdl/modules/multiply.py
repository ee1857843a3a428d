"""Product of two streams: the gate of a gated MLP."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Module, signed

from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.modules.base import Fields, ModuleTiming, Streams, corners
from p2vit.hdl.modules.requantizing import RequantizingModule, narrow_field
from p2vit.hdl.stream import Pipe, lanes, sink
from p2vit.numerics import Multiply
from p2vit.numerics.multiply import LARGEST_SHIFT


class MultiplyUnit(RequantizingModule):
    """``y = requantize((a + offset) · b)``: :class:`p2vit.numerics.Multiply`.

    Streams:
        i: ``a`` int8 [lanes], ``offset``, ``b`` int16 [lanes], ``shift`` 0 to 30 [lanes], ``narrow`` (if 16
            bits), ``last``.
        o: ``y`` [lanes], ``last``.

    Latency: 4 cycles (add | multiply | shift | round and saturate). Throughput: one beat per cycle. Handshake:
    ready/valid streams.
    """

    about: ClassVar[str] = "gate of a gated MLP"

    def __init__(self, lanes_: int = 1, *, output_bits: int = 8) -> None:
        """Make the module.

        Args:
            lanes_: Elements per cycle.
            output_bits: 8 or 16; with 16 each beat chooses 16 or 8 (``narrow``).
        """
        step = ShiftStage(output_bits, 0, LARGEST_SHIFT)
        fields = {
            "a": lanes(signed(8), lanes_),
            "offset": lanes(signed(16), lanes_),
            "b": lanes(signed(16), lanes_),
            "shift": lanes(step.shape, lanes_),
        }
        i = sink(**fields, **narrow_field(output_bits), last=1)
        super().__init__(lanes_, step, ModuleTiming(4), {"i": i})

    def elaborate(self, platform: Any) -> Module:
        """Build the pipeline of four stages."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        beat = self.i.payload
        each = range(self.lanes)
        a = pipe.stage(
            gate=[beat.a[k] + beat.offset[k] for k in each],
            b=[beat.b[k] for k in each],
            shift=[beat.shift[k] for k in each],
            **self.flags(beat),
        )
        product = [gate * b for gate, b in zip(a.gate, a.b, strict=True)]
        b = pipe.stage(product=product, shift=a.shift, **self.flags(a))
        self.requantized(pipe, b.product, b.shift, b)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """:class:`p2vit.numerics.Multiply`, every element a channel of its own."""
        i = {name: np.asarray(value, np.int64) for name, value in inputs["i"].items()}
        operator = Multiply(i["offset"].ravel(), i["shift"].ravel(), self.output_bits)
        out = operator.compute(i["a"].reshape(1, -1), i["b"].reshape(1, -1))
        return self.golden(i, out.reshape(i["a"].shape))

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Operands near every edge, all shifts."""
        size = (beats, self.lanes)
        operands = {name: corners(rng, bits, size) for name, bits in (("a", 8), ("offset", 16), ("b", 16))}
        shift = rng.integers(0, LARGEST_SHIFT + 1, size)
        return {"i": {**operands, "shift": shift, **self.marks(rng, beats)}}
