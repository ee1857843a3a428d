"""RTL machines by name, with changed parameters."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from p2vit.errors import P2vitError, did_you_mean
from p2vit.hdl.top.machine import MACHINES, RANGES, RtlMachine
from p2vit.text import is_number


def machine_of(name: str, changes: Sequence[str] = ()) -> RtlMachine:
    """Return a machine by name, with some parameters changed.

    Args:
        name: Key of ``MACHINES``.
        changes: Changes of the form ``parameter=number``.

    Raises:
        P2vitError: The name or a parameter is unknown, or a number is not allowed.
    """
    if name not in MACHINES:
        raise P2vitError(
            f"no RTL machine '{name}'.{did_you_mean(name, MACHINES)} There are: {', '.join(MACHINES)}"
        )
    machine = MACHINES[name]
    values: dict[str, Any] = {}
    for change in changes:
        key, _, text = change.partition("=")
        if key not in RtlMachine.parameters():
            raise P2vitError(
                f"--set {change}: an RTL machine has no parameter '{key}'.{did_you_mean(key, RtlMachine.parameters())} "
                f"There are: {', '.join(RtlMachine.parameters())}"
            )
        low, high = RANGES.get(key, (0, 1))
        if not is_number(text) or not low <= int(text) <= high:
            raise P2vitError(
                f"--set {change}: {key} must be a whole number from {low} to {high}; e.g. --set {key}="
                f"{int(getattr(machine, key))}"
            )
        values[key] = int(text) if key in RANGES else text == "1"
    return replace(machine, **values)
