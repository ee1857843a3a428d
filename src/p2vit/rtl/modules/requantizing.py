"""What modules that end in a re-quantization share: the choice of 8 bits or 16, the last two stages, their golden."""

from typing import Any

import numpy as np
from amaranth.hdl import signed

from p2vit.numerics.rounding import saturate
from p2vit.rtl.datapath.requantize import ShiftStage
from p2vit.rtl.modules.base import Fields, ModuleTiming, OperatorModule, Streams
from p2vit.rtl.stream import Pipe, lanes, source


def narrow_field(output_bits: int) -> dict[str, Any]:
    """The payload field that chooses 8 bits, in modules of 16."""
    return {"narrow": 1} if output_bits > 8 else {}


class RequantizingModule(OperatorModule):
    """Base of modules that end in a shift, a rounding and a saturation.

    Attributes:
        lanes: Numbers at once.
        output_bits: 8 or 16; with 16 each beat chooses 16 or 8 (``narrow``).
        step: The shift.
    """

    def __init__(self, lanes_: int, step: ShiftStage, timing: ModuleTiming, inputs: dict[str, Any]) -> None:
        """Choose the structure.

        Args:
            lanes_: Numbers at once.
            step: The shift, and the width of the output.
            timing: Latency and interval, the last two stages included.
            inputs: Input streams; the output stream ``o`` (``y`` [lanes], ``last``) is added.
        """
        self.lanes, self.output_bits, self.step, self.timing = lanes_, step.output_bits, step, timing
        super().__init__({**inputs, "o": source(y=lanes(signed(self.output_bits), lanes_), last=1)})

    def configuration(self) -> dict[str, Any]:
        """Structural parameters."""
        return {"l": self.lanes, "o": self.output_bits}

    def narrow(self, beat: Any) -> dict[str, Any]:
        """``narrow`` of a beat or a stage, where there is one."""
        return {"narrow": beat.narrow} if self.output_bits > 8 else {}

    def flags(self, beat: Any) -> dict[str, Any]:
        """``last``, and ``narrow`` where there is one."""
        return {"last": beat.last, **self.narrow(beat)}

    def requantized(self, pipe: Pipe, values: list[Any], amounts: list[Any], before: Any) -> None:
        """The last two stages: shift | round and saturate.

        Args:
            pipe: The pipeline, finished here.
            values: One for each lane.
            amounts: Their right shifts.
            before: Stage or beat that they stand in, with its flags.
        """
        m = pipe.m
        a = pipe.stage(
            twice=[self.step.first(m, value, amount) for value, amount in zip(values, amounts, strict=True)],
            **self.flags(before),
        )
        flag = a.narrow if self.output_bits > 8 else None
        b = pipe.stage(y=[self.step.second(m, value, flag) for value in a.twice], last=a.last)
        pipe.finish(y=b.y, last=b.last)

    def golden(self, i: Fields, values: Any) -> Streams:
        """Output beats from rounded values.

        Args:
            i: Beats with ``last`` and, in modules of 16 bits, ``narrow``.
            values: Not yet saturated [beats, lanes].
        """
        y = saturate(values, self.output_bits)
        if self.output_bits > 8:
            y = np.where(np.asarray(i["narrow"])[:, None] != 0, saturate(y, 8), y)
        return {"o": {"y": y, "last": np.asarray(i["last"], np.int64)}}

    def marks(self, rng: np.random.Generator, beats: int) -> dict[str, Any]:
        """Random flags."""
        marks = {"last": rng.integers(0, 2, beats)}
        return marks | ({"narrow": rng.integers(0, 2, beats)} if self.output_bits > 8 else {})
