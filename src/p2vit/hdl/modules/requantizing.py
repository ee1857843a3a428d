"""Common parts of modules that end in a re-quantization: choice of 8 or 16 bits, last two stages, golden model."""

from typing import Any

import numpy as np
from amaranth.hdl import signed

from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.modules.base import Fields, ModuleTiming, OperatorModule, Streams
from p2vit.hdl.stream import Pipe, lanes, source
from p2vit.numerics.rounding import saturate


def narrow_field(output_bits: int) -> dict[str, Any]:
    """Return the payload field that selects 8-bit saturation; modules of 8 bits have none."""
    return {"narrow": 1} if output_bits > 8 else {}


class RequantizingModule(OperatorModule):
    """Base class of modules that end in shift, rounding and saturation.

    Attributes:
        lanes: Elements per cycle.
        output_bits: 8 or 16; with 16, each beat selects 16 or 8 bits (``narrow``).
        step: Datapath of the re-quantization.
    """

    def __init__(self, lanes_: int, step: ShiftStage, timing: ModuleTiming, inputs: dict[str, Any]) -> None:
        """Make the module.

        Args:
            lanes_: Elements per cycle.
            step: Datapath of the re-quantization; it gives the width of the output.
            timing: Latency and interval, the last two stages included.
            inputs: Input streams; the output stream ``o`` (``y`` [lanes], ``last``) is added.
        """
        self.lanes, self.output_bits, self.step, self.timing = lanes_, step.output_bits, step, timing
        super().__init__({**inputs, "o": source(y=lanes(signed(self.output_bits), lanes_), last=1)})

    def configuration(self) -> dict[str, Any]:
        """Return the structural parameters."""
        return {"l": self.lanes, "o": self.output_bits}

    def narrow(self, beat: Any) -> dict[str, Any]:
        """Return ``narrow`` of a beat or a stage, if the module has that field."""
        return {"narrow": beat.narrow} if self.output_bits > 8 else {}

    def flags(self, beat: Any) -> dict[str, Any]:
        """Return ``last``, and ``narrow`` if the module has that field."""
        return {"last": beat.last, **self.narrow(beat)}

    def requantized(self, pipe: Pipe, values: list[Any], amounts: list[Any], before: Any) -> None:
        """Add the last two stages: shift | round and saturate.

        Args:
            pipe: Pipeline, which ends with these stages.
            values: Value of each lane.
            amounts: Right shift of each lane.
            before: Stage or beat that holds the values, with its flags.
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
        """Make the output beats of the golden model from rounded values.

        Args:
            i: Input beats with ``last`` and, in modules of 16 bits, ``narrow``.
            values: Rounded values before saturation, [beats, lanes].
        """
        y = saturate(values, self.output_bits)
        if self.output_bits > 8:
            y = np.where(np.asarray(i["narrow"])[:, None] != 0, saturate(y, 8), y)
        return {"o": {"y": y, "last": np.asarray(i["last"], np.int64)}}

    def marks(self, rng: np.random.Generator, beats: int) -> dict[str, Any]:
        """Make random flags."""
        marks = {"last": rng.integers(0, 2, beats)}
        return marks | ({"narrow": rng.integers(0, 2, beats)} if self.output_bits > 8 else {})
