"""Hardware module of the affine operator: gain and bias per channel."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Module, signed

from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.modules.base import Fields, ModuleTiming, Streams, corners
from p2vit.hdl.modules.requantizing import RequantizingModule, narrow_field
from p2vit.hdl.stream import Pipe, lanes, sink
from p2vit.numerics import Affine
from p2vit.numerics.affine import SHIFTS


class AffineUnit(RequantizingModule):
    """``y = requantize(x · gain + bias)``: :class:`p2vit.numerics.Affine`.

    Streams:
        i: ``x``, ``gain`` int16 [lanes], ``bias`` int32 [lanes], ``shift`` −8 to 30 [lanes], ``narrow`` (if 16 bits),
            ``last``.
        o: ``y`` [lanes], ``last``.

    Latency: 4 cycles (multiply | add | shift | round and saturate). Throughput: one beat per cycle. Handshake:
    ready/valid streams.
    """

    about: ClassVar[str] = "affine: gain and bias of a last LayerNorm"

    def __init__(self, lanes_: int = 1, *, output_bits: int = 8) -> None:
        """Make the module.

        Args:
            lanes_: Elements per cycle.
            output_bits: 8 or 16; with 16, each beat selects 16 or 8 bits (``narrow``).
        """
        step = ShiftStage(output_bits, *SHIFTS)
        wide = lanes(signed(16), lanes_)
        fields = {
            "x": wide,
            "gain": wide,
            "bias": lanes(signed(32), lanes_),
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
            product=[beat.x[k] * beat.gain[k] for k in each],
            bias=[beat.bias[k] for k in each],
            shift=[beat.shift[k] for k in each],
            **self.flags(beat),
        )
        total = [product + bias for product, bias in zip(a.product, a.bias, strict=True)]
        b = pipe.stage(total=total, shift=a.shift, **self.flags(a))
        self.requantized(pipe, b.total, b.shift, b)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Compute :class:`p2vit.numerics.Affine` with every element as a channel of its own."""
        i = {name: np.asarray(value, np.int64) for name, value in inputs["i"].items()}
        reference = Affine(i["gain"].ravel(), i["bias"].ravel(), i["shift"].ravel(), self.output_bits)
        return self.golden(i, reference.compute(i["x"].reshape(1, -1)).reshape(i["x"].shape))

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make operands near the limits of their ranges, with all shifts."""
        size = (beats, self.lanes)
        fields = {"x": corners(rng, 16, size), "gain": corners(rng, 16, size), "bias": corners(rng, 32, size)}
        return {
            "i": {**fields, "shift": rng.integers(SHIFTS[0], SHIFTS[1] + 1, size), **self.marks(rng, beats)}
        }
