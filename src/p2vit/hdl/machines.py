"""RTL machines by name, with changed parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from p2vit.errors import P2vitError, did_you_mean
from p2vit.hdl.chunks.machine import MACHINES as CHUNK_MACHINES
from p2vit.hdl.chunks.machine import RANGES as CHUNK_RANGES
from p2vit.hdl.chunks.machine import ChunkMachine
from p2vit.hdl.top.machine import MACHINES, RANGES, RtlMachine
from p2vit.text import is_number

Machine = TypeVar("Machine", RtlMachine, ChunkMachine)


def machine_of(name: str, changes: Sequence[str] = ()) -> RtlMachine:
    """Return a machine by name, with some parameters changed.

    Args:
        name: Key of ``MACHINES``.
        changes: Changes of the form ``parameter=number``.

    Raises:
        P2vitError: The name or a parameter is unknown, or a number is not allowed.
    """
    if name not in MACHINES:
        names = (*MACHINES, *CHUNK_MACHINES)
        raise P2vitError(f"no RTL machine '{name}'.{did_you_mean(name, names)} There are: {', '.join(names)}")
    return _changed(MACHINES[name], "an RTL machine", RANGES, changes)


def chunk_machine_of(name: str, changes: Sequence[str] = ()) -> ChunkMachine:
    """Return a machine of the chunk organisation by name, with some sizes changed.

    Args:
        name: Key of ``CHUNK_MACHINES``.
        changes: Changes of the form ``size=number``.

    Raises:
        P2vitError: A size is unknown, or a number is not allowed.
    """
    return _changed(CHUNK_MACHINES[name], "a chunk machine", CHUNK_RANGES, changes)


def _changed(
    machine: Machine, kind: str, ranges: Mapping[str, tuple[int, int]], changes: Sequence[str]
) -> Machine:
    """Return a machine with some parameters changed; a parameter without a range is 0 or 1.

    Raises:
        P2vitError: A parameter is unknown, or a number is not allowed.
    """
    values: dict[str, Any] = {}
    for change in changes:
        key, _, text = change.partition("=")
        if key not in machine.parameters():
            raise P2vitError(
                f"--set {change}: {kind} has no parameter '{key}'.{did_you_mean(key, machine.parameters())} "
                f"There are: {', '.join(machine.parameters())}"
            )
        low, high = ranges.get(key, (0, 1))
        if not is_number(text) or not low <= int(text) <= high:
            raise P2vitError(
                f"--set {change}: {key} must be a whole number from {low} to {high}; e.g. --set {key}="
                f"{int(getattr(machine, key))}"
            )
        values[key] = int(text) if key in ranges else text == "1"
    return replace(machine, **values)
