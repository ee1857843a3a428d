"""RTL machines with one size enlarged, for the check that a larger machine is never slower."""

from collections.abc import Iterator
from dataclasses import replace

from p2vit.errors import P2vitError
from p2vit.hdl.top.machine import RtlMachine

#: Sizes that an architect can enlarge, and what the smallest step is. The other step doubles the size.
STEPS = {
    "lines": 1,
    "lanes": 2,
    "row_rows": 1,
    "weight_rows": 1,
    "columns": 1,
    "vector_columns": 1,
    "table_groups": 1,
}


def larger(machine: RtlMachine) -> Iterator[tuple[str, RtlMachine]]:
    """Make every RTL machine that has more of one size. Its buffers follow.

    Args:
        machine: Machine to enlarge.

    Yields:
        Change as ``size=value``, and the larger machine. Values that are not allowed are left out.
    """
    for size, least in STEPS.items():
        now = getattr(machine, size)
        for value in dict.fromkeys((now + least, 2 * now)):
            try:
                grown = replace(machine, **{size: value})
            except P2vitError:
                continue
            yield f"{size}={value}", grown
