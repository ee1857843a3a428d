"""Base class of the hardware modules: timing, golden model and test vectors."""

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
    """Timing of a module without stalls.

    Attributes:
        latency: Cycles from the input beat that completes an output to the cycle in which that output is offered. With
            latency 1, the output is offered in the next cycle.
        interval: Initiation interval: cycles between two input beats.
        note: Further facts, such as the number of passes over a row.
    """

    latency: int
    interval: int = 1
    note: str = ""


class OperatorModule(wiring.Component):
    """Component whose ports are ready/valid streams.

    All handshakes follow :mod:`p2vit.hdl.stream`. Subclasses set ``timing`` before they call the parent's constructor.
    """

    #: Short description of what the module computes, for tables.
    about: ClassVar[str] = ""
    timing: ModuleTiming
    # Modules are also made only to read their timing; Amaranth must not warn that they are never elaborated.
    _MustUse__silence = True

    @property
    def key(self) -> str:
        """Name of this configuration, valid as a Verilog identifier."""
        parts = [type(self).__name__, *(f"{name}{value}" for name, value in self.configuration().items())]
        return "_".join(part.replace("-", "m").replace(".", "p") for part in parts).lower()

    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """Return the structural parameters by name."""

    @abstractmethod
    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """Golden model: compute the output beats for input beats with :mod:`p2vit.numerics`.

        Args:
            inputs: Input stream → fields.

        Returns:
            Output stream → fields. :meth:`specified` tells in which beats a field is defined.
        """

    @abstractmethod
    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make about ``beats`` random input beats for tests, with corner cases."""

    def specified(self, stream: str, field: str, outputs: Streams) -> NDArray[np.bool_] | None:
        """Return a mask of the values of an output field that are specified; None if all are."""
        return None


def corners(
    rng: np.random.Generator, bits: int, size: tuple[int, ...], signed: bool = True
) -> NDArray[np.int64]:
    """Make random integers of a width, a third of them near the limits, near zero or near a power of two."""
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
