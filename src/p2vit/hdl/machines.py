"""RTL machines by name, with changed parameters."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from p2vit.errors import P2vitError, did_you_mean
from p2vit.hdl.top.machine import MACHINES, RtlMachine
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
        if key == "shifters":
            if text not in ("0", "1"):
                raise P2vitError(f"--set {change}: shifters is 0 or 1")
            values[key] = text == "1"
        elif not is_number(text):
            raise P2vitError(
                f"--set {change}: '{text}' is no whole number; e.g. --set {key}={getattr(machine, key)}"
            )
        else:
            values[key] = int(text)
    return replace(machine, **values)
