"""What every hardware module says of itself: timing, the integers it must give, and vectors to test it with."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.lib import wiring
from numpy.typing import NDArray

#: Field → integers [beats] or [beats, lanes].
Fields = Mapping[str, Any]
#: Stream → its fields.
Streams = dict[str, dict[str, NDArray[np.int64]]]


@dataclass(frozen=True)
class ModuleTiming:
    """When beats come out, with no stalls.

    Attributes:
        latency: Cycles from the beat that completes an output going in to that output being offered: with latency 1 it
            is offered in the next cycle.
        interval: Cycles between two beats that are taken (initiation interval).
        note: What else there is to say, such as passes over a row.
    """

    latency: int
    interval: int = 1
    note: str = ""


class OperatorModule(wiring.Component):
    """A component whose ports are streams.

    All handshakes are those of :mod:`p2vit.rtl.stream`. Subclasses set ``timing`` before they call this
    constructor's parent.
    """

    #: Words for tables: what the module computes.
    about: ClassVar[str] = ""
    timing: ModuleTiming
    # Modules are also made to be asked about their timing; Amaranth need not warn that they were never elaborated.
    _MustUse__silence = True

    @property
    def key(self) -> str:
        """Name of this configuration, fit for Verilog."""
        parts = [type(self).__name__, *(f"{name}{value}" for name, value in self.configuration().items())]
        return "_".join(part.replace("-", "m").replace(".", "p") for part in parts).lower()

    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """Structural parameters, by name."""

    @abstractmethod
    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """The golden: output beats for input beats, from :mod:`p2vit.numerics`.

        Args:
            inputs: Input stream → fields.

        Returns:
            Output stream → fields. A field that is unspecified in some beats is left out there by :meth:`specified`.
        """

    @abstractmethod
    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Input beats for tests, corners included, about as many as asked for."""

    def specified(self, stream: str, field: str, outputs: Streams) -> NDArray[np.bool_] | None:
        """Beats in which an output field is specified; None for all."""
        return None


def corners(
    rng: np.random.Generator, bits: int, size: tuple[int, ...], signed: bool = True
) -> NDArray[np.int64]:
    """Random integers of a width, a third of them near its ends, near zero or near a power of two."""
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    plain = rng.integers(low, high, size, endpoint=True)
    small = plain >> rng.integers(0, bits, size)
    near = rng.integers(-2, 3, size)
    power = np.int64(1) << rng.integers(0, max(bits - 1, 1), size)
    edges = np.array([low, high, 0], np.int64)[rng.integers(0, 3, size)]
    choice = rng.integers(0, 12, size)
    sign = np.where(rng.integers(0, 2, size) == 0, 1, -1) if signed else 1
    mixed = np.select(
        [choice < 4, choice < 8, choice < 10], [plain, small, edges + near], sign * power + near
    )
    return np.clip(mixed, low, high)
