"""Hardware module of the re-quantization by a shift: round half up and saturate."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Module, signed

from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.modules.base import Fields, ModuleTiming, Streams, corners
from p2vit.hdl.modules.requantizing import RequantizingModule, narrow_field
from p2vit.hdl.stream import Pipe, lanes, sink
from p2vit.numerics.rounding import shift_round


class Requantizer(RequantizingModule):
    """``y = saturate(round(x · 2^-shift))`` on ``lanes`` accumulators, as :func:`numerics.rounding.requantize`.

    Streams:
        i: ``x`` signed [lanes], ``shift`` [lanes], ``narrow`` (if 16 bits), ``last``.
        o: ``y`` signed [lanes], ``last``.

    Latency: 2 cycles (shift | round and saturate). Throughput: one beat per cycle. Handshake: ready/valid streams.
    """

    about: ClassVar[str] = "re-quantization by a shift"

    def __init__(
        self, lanes_: int = 1, *, input_bits: int = 32, output_bits: int = 8, least: int = 0, most: int = 31
    ) -> None:
        """Make the module.

        Args:
            lanes_: Accumulators per cycle.
            input_bits: Width of the accumulators.
            output_bits: 8 or 16; with 16, each beat selects 16 or 8 bits (``narrow``).
            least: Smallest shift; a negative shift is a left shift.
            most: Largest shift.
        """
        self.input_bits = input_bits
        step = ShiftStage(output_bits, least, most)
        fields = {"x": lanes(signed(input_bits), lanes_), "shift": lanes(step.shape, lanes_)}
        i = sink(**fields, **narrow_field(output_bits), last=1)
        super().__init__(lanes_, step, ModuleTiming(2), {"i": i})

    def configuration(self) -> dict[str, Any]:
        """Return the structural parameters."""
        return {
            "l": self.lanes,
            "i": self.input_bits,
            "o": self.output_bits,
            "from": self.step.least,
            "to": self.step.most,
        }

    def elaborate(self, platform: Any) -> Module:
        """Build the pipeline of two stages."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        beat = self.i.payload
        each = range(self.lanes)
        self.requantized(pipe, [beat.x[k] for k in each], [beat.shift[k] for k in each], beat)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Compute :func:`p2vit.numerics.rounding.requantize`."""
        i = inputs["i"]
        return self.golden(i, shift_round(np.asarray(i["x"]), np.asarray(i["shift"])))

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make accumulators near the limits of their range, with all shifts."""
        size = (beats, self.lanes)
        shift = rng.integers(self.step.least, self.step.most, size, endpoint=True)
        x = corners(rng, self.input_bits, size)
        # Some values give results near the limits of the output, or rounding ties.
        limit = np.int64(1) << (self.output_bits - 1)
        target = np.where(rng.integers(0, 2, size) == 0, limit, -limit) + rng.integers(-2, 3, size)
        near = shift_round(target, -shift) - rng.integers(-1, 2, size) * (
            (np.int64(1) << np.maximum(shift, 0)) >> 1
        )
        bound = np.int64(1) << (self.input_bits - 1)
        pick = (rng.integers(0, 4, size) == 0) & (near >= -bound) & (near < bound)
        return {"i": {"x": np.where(pick, near, x), "shift": shift, **self.marks(rng, beats)}}
