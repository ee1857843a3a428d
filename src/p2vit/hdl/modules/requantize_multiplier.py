"""Re-quantizer with an integer multiplier, for scales that are not powers of two. For comparison only."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Module, signed, unsigned

from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.modules.base import Fields, ModuleTiming, Streams, corners
from p2vit.hdl.modules.requantizing import RequantizingModule
from p2vit.hdl.stream import Pipe, lanes, sink
from p2vit.numerics.rounding import int_range


class MultiplierRequantizer(RequantizingModule):
    """``y = saturate(round(x · multiplier · 2^-shift))``, rounded once, half up, for scales as in TFLite.

    Streams:
        i: ``x`` int32 [lanes], ``multiplier`` unsigned [lanes], ``shift`` 0 to 63 [lanes], ``last``.
        o: ``y`` int8 [lanes], ``last``.

    Latency: 2 cycles (multiply and shift | round and saturate), or 3 with a register after the multiplier. Throughput:
    one beat per cycle. Handshake: ready/valid streams.
    """

    about: ClassVar[str] = "re-quantization by an integer multiplier (comparison)"

    def __init__(self, lanes_: int = 1, *, bits: int = 8, pipelined: bool = False) -> None:
        """Make the module.

        Args:
            lanes_: Accumulators per cycle.
            bits: Width of the multiplier operand, up to 32.
            pipelined: Whether there is a register between product and shift.
        """
        self.bits, self.pipelined = bits, pipelined
        i = sink(
            x=lanes(signed(32), lanes_),
            multiplier=lanes(unsigned(bits), lanes_),
            shift=lanes(unsigned(6), lanes_),
            last=1,
        )
        super().__init__(lanes_, ShiftStage(8, 0, 63), ModuleTiming(3 if pipelined else 2), {"i": i})

    def configuration(self) -> dict[str, Any]:
        """Return the structural parameters."""
        return {"l": self.lanes, "m": self.bits, "p": int(self.pipelined)}

    def elaborate(self, platform: Any) -> Module:
        """Build the pipeline of two or three stages."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        stage: Any = self.i.payload
        each = range(self.lanes)
        product = [stage.x[k] * stage.multiplier[k] for k in each]
        if self.pipelined:
            stage = pipe.stage(product=product, shift=[stage.shift[k] for k in each], last=stage.last)
            product = stage.product
        self.requantized(pipe, product, [stage.shift[k] for k in each], stage)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Compute with the rounding rule of :mod:`p2vit.numerics.rounding`, in Python integers."""
        i = inputs["i"]
        low, high = int_range(8, signed=True)
        product = np.asarray(i["x"]).astype(object) * np.asarray(i["multiplier"]).astype(object)
        shift = np.asarray(i["shift"]).astype(object)
        y = ((product * 2 >> shift) + 1) >> 1
        return {"o": {"y": np.clip(y, low, high).astype(np.int64), "last": np.asarray(i["last"], np.int64)}}

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make operands near the limits of their ranges, and shifts that bring products near the output's limits."""
        size = (beats, self.lanes)
        x, multiplier = corners(rng, 32, size), corners(rng, self.bits, size, signed=False)
        bits = np.log2(np.abs(x * multiplier.astype(float)) + 1).astype(np.int64)
        near = np.clip(bits - rng.integers(4, 10, size), 0, 63)
        shift = np.where(rng.integers(0, 3, size) == 0, rng.integers(0, 64, size), near)
        return {"i": {"x": x, "multiplier": multiplier, "shift": shift, "last": rng.integers(0, 2, beats)}}
