"""Change figures of a machine description, for exploration and for sensitivity analysis."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from p2vit.accel.machine.description import Machine
from p2vit.accel.problems import AccelError, suggestion


def edit_machine(machine: Machine, changes: Mapping[str, Any]) -> Machine:
    """Return a copy of a machine with some figures changed.

    Args:
        machine: Machine to start from.
        changes: New values by dotted path, e.g. ``{"chunks.mac_array.lines": 40}``. Figures that must be equal to a
            changed one change with it.

    Returns:
        Validated machine.

    Raises:
        AccelError: A path does not exist or a value is not allowed; the message lists all of them.
    """
    data = machine.model_dump()
    problems = []
    tied = {path: changes[leader] for path, leader in machine.tied.items() if leader in changes}
    for path, value in (tied | dict(changes)).items():
        *outer, last = path.split(".")
        node: Any = data
        for step in outer:
            node = node.get(step) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            problems.append(f"{path}: no such key; {suggestion(path, _paths(machine.model_dump()))}")
        else:
            node[last] = value
    if problems:
        raise AccelError(f"changes to {machine.name}", problems)
    try:
        return Machine.model_validate(data)
    except ValidationError as error:
        raise AccelError(
            f"changes to {machine.name}",
            [
                f"{'.'.join(str(s) for s in item['loc'])}: {item['msg']}, not {item['input']!r}"
                if item["loc"]
                else str(item["ctx"]["error"])
                for item in error.errors()
            ],
        ) from None


def value_at(machine: Machine, path: str) -> Any:
    """Return the figure at a dotted path."""
    node: Any = machine
    for step in path.split("."):
        node = getattr(node, step)
    return node


def _paths(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return [prefix]
    return [
        path for key, value in node.items() for path in _paths(value, f"{prefix}.{key}" if prefix else key)
    ]
