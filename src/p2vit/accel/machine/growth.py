"""Machines with one resource enlarged, for the check that a larger machine is never slower."""

from collections.abc import Callable, Iterator

from p2vit.accel.machine.description import Machine
from p2vit.accel.machine.edit import edit_machine, value_at

_ONE_MORE: Callable[[int], int] = lambda value: value + 1  # noqa: E731
_TWICE: Callable[[float], float] = lambda value: value * 2  # noqa: E731
_QUARTER_MORE: Callable[[int], int] = lambda value: value * 5 // 4  # noqa: E731
_TENTH_MORE: Callable[[float], float] = lambda value: value * 1.1  # noqa: E731

#: Resources that an architect can enlarge, by path, and the steps by which each is enlarged.
GROWTH: dict[str, tuple[Callable[..., float], ...]] = {
    "chunks.mac_array.lines": (_ONE_MORE, _TWICE),
    "chunks.mac_array.lanes_per_line": (_ONE_MORE, _TWICE),
    "chunks.shifter_array.lines": (_ONE_MORE, _TWICE),
    "chunks.shifter_array.lanes_per_line": (_ONE_MORE, _TWICE),
    "chunks.layernorm.lanes": (_ONE_MORE, _TWICE),
    "chunks.softmax.lanes": (_ONE_MORE, _TWICE),
    "chunks.requantization.lanes": (_ONE_MORE, _TWICE),
    "chunks.gelu.lanes": (_ONE_MORE, _TWICE),
    "chunks.elementwise.lanes": (_ONE_MORE, _TWICE),
    "buffers.activation.size_bytes": (_QUARTER_MORE, _TWICE),
    "buffers.weight.size_bytes": (_QUARTER_MORE, _TWICE),
    "buffers.accumulator.size_bytes": (_QUARTER_MORE, _TWICE),
    "buffers.row.size_bytes": (_QUARTER_MORE, _TWICE),
    "buffers.activation.bytes_per_port_per_cycle": (_ONE_MORE, _TWICE),
    "buffers.weight.bytes_per_port_per_cycle": (_ONE_MORE, _TWICE),
    "dram.bandwidth_gbytes_per_s": (_TENTH_MORE, _TWICE),
}


def larger(machine: Machine) -> Iterator[tuple[str, Machine]]:
    """Make every machine that has more of one resource.

    Args:
        machine: Machine to enlarge.

    Yields:
        Change as ``path=value``, and the larger machine. Resources that the machine does not have and values that are
        not allowed are left out.
    """
    for path, steps in GROWTH.items():
        for step in steps:
            try:
                value = step(value_at(machine, path))
                grown = edit_machine(machine, {path: value})
            except (AttributeError, ValueError):
                continue
            yield f"{path}={value:g}", grown
