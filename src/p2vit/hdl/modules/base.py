"""Base class of the hardware modules: timing, golden model and test vectors."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from numpy.typing import NDArray

from p2vit.hdl.packing import fields_of

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

    def port_comments(self) -> dict[str, str]:
        """Return the comment of every port, by its name in Verilog; a payload's comment lists its fields and bits."""
        comments: dict[str, str] = {}
        for name, member in self.signature.members.items():
            ours, theirs = ("sender", "module") if member.flow == In else ("module", "receiver")
            comments |= {
                f"{name}_valid": f"The {ours} offers a beat, and keeps it until it moves.",
                f"{name}_ready": f"The {theirs} takes the beat that is offered.",
                f"{name}_payload": "; ".join(describe_fields(getattr(self, name).payload.shape())),
            }
        return comments

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


def describe_fields(layout: Any) -> Iterator[str]:
    """Describe the fields of a payload, lowest bits first, e.g. ``x [63:0] 4 x int16``; lane 0 is lowest."""
    for name, scalars in fields_of(layout).items():
        low, width, is_signed = scalars[0]
        high = scalars[-1][0] + width - 1
        bits = f"[{high}:{low}]" if high > low else f"[{low}]"
        count = f"{len(scalars)} x " if len(scalars) > 1 else ""
        yield f"{name} {bits}" + (f" {count}{'int' if is_signed else 'uint'}{width}" if high > low else "")


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
