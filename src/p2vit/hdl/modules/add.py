"""Hardware module of the residual add and the position add."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Module, signed, unsigned

from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.modules.base import Fields, ModuleTiming, Streams, corners
from p2vit.hdl.modules.requantizing import RequantizingModule, narrow_field
from p2vit.hdl.stream import Pipe, lanes, sink
from p2vit.numerics import Add
from p2vit.numerics.add import LARGEST_SHIFT
from p2vit.numerics.rounding import shift_round


class AddUnit(RequantizingModule):
    """``y = saturate(round(((a << left_a) + (b << left_b)) · 2^-shift))``: :class:`p2vit.numerics.Add`.

    With all shifts 0, this is the saturating add of position constants.

    Streams:
        i: ``a``, ``b`` int16 [lanes], ``left_a``, ``left_b``, ``shift`` 0 to 15 [lanes], ``narrow`` (if 16 bits),
            ``last``.
        o: ``y`` [lanes], ``last``.

    Latency: 3 cycles (align and add | shift | round and saturate). Throughput: one beat per cycle. Handshake:
    ready/valid streams.
    """

    about: ClassVar[str] = "residual add, position add"

    def __init__(self, lanes_: int = 1, *, output_bits: int = 16) -> None:
        """Make the module.

        Args:
            lanes_: Elements per cycle.
            output_bits: 8 or 16; with 16, each beat selects 16 or 8 bits (``narrow``).
        """
        four = lanes(unsigned(4), lanes_)
        wide = lanes(signed(16), lanes_)
        fields = {"a": wide, "b": wide, "left_a": four, "left_b": four, "shift": four}
        i = sink(**fields, **narrow_field(output_bits), last=1)
        super().__init__(lanes_, ShiftStage(output_bits, 0, LARGEST_SHIFT), ModuleTiming(3), {"i": i})

    def elaborate(self, platform: Any) -> Module:
        """Build the pipeline of three stages."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        beat = self.i.payload
        each = range(self.lanes)
        total = [(beat.a[k] << beat.left_a[k]) + (beat.b[k] << beat.left_b[k]) for k in each]
        a = pipe.stage(total=total, shift=[beat.shift[k] for k in each], **self.flags(beat))
        self.requantized(pipe, a.total, a.shift, a)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Compute :meth:`p2vit.numerics.Add.compute` with separate shifts for each element."""
        i = {name: np.asarray(value, np.int64) for name, value in inputs["i"].items()}
        total = shift_round(i["a"], -i["left_a"]) + shift_round(i["b"], -i["left_b"])
        return self.golden(i, shift_round(total, i["shift"]))

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make operands near the limits of their ranges, with all shifts."""
        size = (beats, self.lanes)
        calm = rng.integers(0, 3, (beats, 1)) == 0
        shifts = {
            name: np.where(calm, 0, rng.integers(0, LARGEST_SHIFT + 1, size))
            for name in ("left_a", "left_b", "shift")
        }
        return {
            "i": {
                "a": corners(rng, 16, size),
                "b": corners(rng, 16, size),
                **shifts,
                **self.marks(rng, beats),
            }
        }

    def operator_beats(self, operator: Add, a: Any, b: Any) -> dict[str, Any]:
        """Make the beats of whole tokens. The number of channels must be a multiple of the lanes.

        Args:
            operator: Operator that gives the shifts.
            a: First operand, [tokens, C].
            b: Second operand, [tokens, C].
        """
        shape = a.shape
        parameters = {
            name: np.broadcast_to(getattr(operator, name), shape).reshape(-1, self.lanes)
            for name in ("left_a", "left_b", "shift")
        }
        beats = {"a": a.reshape(-1, self.lanes), "b": b.reshape(-1, self.lanes), **parameters}
        narrow = (
            {"narrow": np.full(len(beats["a"]), operator.output_bits == 8)} if self.output_bits > 8 else {}
        )
        return beats | narrow | {"last": np.zeros(len(beats["a"]))}
