"""Rotary position embedding."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Module, signed

from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.modules.base import Fields, ModuleTiming, Streams, corners
from p2vit.hdl.modules.requantizing import RequantizingModule, narrow_field
from p2vit.hdl.stream import Pipe, lanes, sink
from p2vit.numerics import Rotary
from p2vit.numerics.rotary import FRACTION, SHIFTS


class RotaryUnit(RequantizingModule):
    """``a·cos − b·sin`` and ``a·sin + b·cos`` of each pair of lanes: :class:`p2vit.numerics.Rotary`.

    Streams:
        i: ``x`` int16 [lanes], neighbouring lanes are a pair; ``cosine``, ``sine`` int16 [lanes / 2], −2^14 to
            2^14; ``shift`` 0 to 30 [lanes]; ``narrow`` (if 16 bits); ``last``.
        o: ``y`` [lanes], ``last``.

    Latency: 4 cycles (multiply | add | shift | round and saturate). Throughput: one beat per cycle. Handshake:
    ready/valid streams.
    """

    about: ClassVar[str] = "rotary position embedding of queries and keys"

    def __init__(self, lanes_: int = 2, *, output_bits: int = 8) -> None:
        """Make the module.

        Args:
            lanes_: Elements per cycle, an even number.
            output_bits: 8 or 16; with 16 each beat chooses 16 or 8 (``narrow``).

        Raises:
            ValueError: an odd number of lanes.
        """
        if lanes_ < 2 or lanes_ % 2:
            raise ValueError(f"lanes is {lanes_}; a pair of channels takes two, so an even number is needed")
        step = ShiftStage(output_bits, *SHIFTS)
        half = lanes(signed(16), lanes_ // 2)
        fields = {
            "x": lanes(signed(16), lanes_),
            "cosine": half,
            "sine": half,
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
            own=[beat.x[k] * beat.cosine[k // 2] for k in each],
            other=[beat.x[k ^ 1] * beat.sine[k // 2] for k in each],
            shift=[beat.shift[k] for k in each],
            **self.flags(beat),
        )
        total = [a.own[k] + a.other[k] if k % 2 else a.own[k] - a.other[k] for k in each]
        b = pipe.stage(total=total, shift=a.shift, **self.flags(a))
        self.requantized(pipe, b.total, b.shift, b)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """:class:`p2vit.numerics.Rotary`, every beat a token and every lane a channel with a shift of its own."""
        i = {name: np.asarray(value, np.int64) for name, value in inputs["i"].items()}
        out = [
            Rotary(cosine[None], sine[None], shift, self.output_bits).compute(x[None, None])[0, 0]
            for x, cosine, sine, shift in zip(i["x"], i["cosine"], i["sine"], i["shift"], strict=True)
        ]
        return self.golden(i, np.array(out).reshape(i["x"].shape))

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Operands near every edge, angles all around and at the ends, all shifts."""
        size, half = (beats, self.lanes), (beats, self.lanes // 2)
        one = 1 << FRACTION
        angle = rng.uniform(0, 2 * np.pi, half)
        ends = rng.integers(0, 4, (beats, 1)) == 0
        tables = {
            name: np.where(ends, rng.choice([-one, 0, one], half), np.floor(f(angle) * one + 0.5).astype(int))
            for name, f in (("cosine", np.cos), ("sine", np.sin))
        }
        shift = rng.integers(SHIFTS[0], SHIFTS[1] + 1, size)
        return {"i": {"x": corners(rng, 16, size), **tables, "shift": shift, **self.marks(rng, beats)}}
