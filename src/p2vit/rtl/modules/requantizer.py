"""Re-quantization by a shift: round half up, saturate. The datapath that the power of two makes small."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import C, Cat, Module, Mux, Value, signed, unsigned

from p2vit.numerics.rounding import saturate, shift_round
from p2vit.rtl.arithmetic import clamp_either, clamp_signed, round_last_bit, shift_with_half
from p2vit.rtl.modules.base import Fields, OperatorModule, Streams, Timing, corners
from p2vit.rtl.stream import Pipe, lanes, sink, source


class ShiftStage:
    """The shift of a re-quantization, ready for the register between its two stages.

    Left shifts cost nothing but width: as soon as ``x · 2^left`` leaves the output's range it saturates, so a
    shift by more than the output's width does what one by the width does.

    Attributes:
        output_bits: Width that is saturated to.
        left: Most places a value is shifted to the left, after that cap.
        shift_bits: Width of a signed shift amount (unsigned if ``left`` is 0).
    """

    def __init__(self, output_bits: int, least: int, most: int) -> None:
        self.output_bits = output_bits
        self.least, self.most = least, most
        self.left = min(max(-least, 0), output_bits)
        self.shift_bits = max(most.bit_length(), 1) if least >= 0 else 1 + max(most, -least - 1).bit_length()

    @property
    def shape(self) -> Any:
        """Shape of the shift amount's field."""
        return unsigned(self.shift_bits) if self.least >= 0 else signed(self.shift_bits)

    def first(self, m: Module, x: Any, shift: Any) -> Value:
        """``2 · x · 2^-shift``, floored, saturated to two bits more than the output needs."""
        cast = Value.cast(x)
        if self.left:
            shift = Mux(shift < -self.left, C(0), shift + self.left)[: (self.most + self.left).bit_length()]
            cast = Cat(C(0, self.left), cast).as_signed()
        return clamp_signed(m, shift_with_half(cast, shift), self.output_bits + 1)

    def second(self, m: Module, twice: Any, narrow: Any | None = None) -> Value:
        """Round the last bit and saturate to the output's width, or to 8 bits."""
        return clamp_either(m, round_last_bit(twice), self.output_bits, narrow)


class Requantizer(OperatorModule):
    """``y = saturate(round(x · 2^-shift))`` on ``lanes`` accumulators at once, as :func:`numerics.rounding.requantize`.

    Streams:
        i: ``x`` signed [lanes], ``shift`` [lanes], ``narrow`` (if 16 bits), ``last``.
        o: ``y`` signed [lanes], ``last``.

    Latency 2 (shift | round and saturate), one beat per cycle.
    """

    about: ClassVar[str] = "re-quantization by a shift"

    def __init__(
        self, lanes_: int = 1, *, input_bits: int = 32, output_bits: int = 8, least: int = 0, most: int = 31
    ) -> None:
        """Choose the structure.

        Args:
            lanes_: Numbers at once.
            input_bits: Width of the accumulators.
            output_bits: 8 or 16; with 16 each beat chooses 16 or 8 (``narrow``).
            least: Smallest shift; negative shifts to the left.
            most: Largest shift.
        """
        self.lanes, self.input_bits, self.output_bits = lanes_, input_bits, output_bits
        self.step = ShiftStage(output_bits, least, most)
        self.timing = Timing(2)
        extra = {"narrow": 1} if output_bits > 8 else {}
        super().__init__(
            {
                "i": sink(
                    x=lanes(signed(input_bits), lanes_), shift=lanes(self.step.shape, lanes_), **extra, last=1
                ),
                "o": source(y=lanes(signed(output_bits), lanes_), last=1),
            }
        )

    def configuration(self) -> dict[str, Any]:
        """Structural parameters."""
        return {
            "l": self.lanes,
            "i": self.input_bits,
            "o": self.output_bits,
            "from": self.step.least,
            "to": self.step.most,
        }

    def elaborate(self, platform: Any) -> Module:
        """Two stages."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        beat = self.i.payload
        narrow = {"narrow": beat.narrow} if self.output_bits > 8 else {}
        a = pipe.stage(
            twice=[self.step.first(m, beat.x[k], beat.shift[k]) for k in range(self.lanes)],
            last=beat.last,
            **narrow,
        )
        flag = a.narrow if narrow else None
        b = pipe.stage(y=[self.step.second(m, value, flag) for value in a.twice], last=a.last)
        pipe.finish(y=b.y, last=b.last)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """As :func:`p2vit.numerics.rounding.requantize`."""
        i = inputs["i"]
        rounded = shift_round(np.asarray(i["x"]), np.asarray(i["shift"]))
        y = saturate(rounded, self.output_bits)
        if self.output_bits > 8:
            y = np.where(np.asarray(i["narrow"])[:, None] != 0, saturate(y, 8), y)
        return {"o": {"y": y, "last": np.asarray(i["last"], np.int64)}}

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Accumulators near every edge, all shifts."""
        size = (beats, self.lanes)
        shift = rng.integers(self.step.least, self.step.most, size, endpoint=True)
        x = corners(rng, self.input_bits, size)
        # Values that land near the output's ends and on rounding ties.
        limit = np.int64(1) << (self.output_bits - 1)
        target = np.where(rng.integers(0, 2, size) == 0, limit, -limit) + rng.integers(-2, 3, size)
        near = shift_round(target, -shift) - rng.integers(-1, 2, size) * (
            (np.int64(1) << np.maximum(shift, 0)) >> 1
        )
        bound = np.int64(1) << (self.input_bits - 1)
        pick = (rng.integers(0, 4, size) == 0) & (near >= -bound) & (near < bound)
        fields = {"x": np.where(pick, near, x), "shift": shift, "last": rng.integers(0, 2, beats)}
        if self.output_bits > 8:
            fields["narrow"] = rng.integers(0, 2, beats)
        return {"i": fields}
