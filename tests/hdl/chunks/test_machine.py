import pytest

from p2vit.errors import P2vitError
from p2vit.hdl.chunks.machine import MACHINES, RANGES, ChunkMachine


def test_every_size_has_a_range_that_is_checked():
    assert set(RANGES) == set(ChunkMachine.parameters())
    for name, (low, high) in RANGES.items():
        for value in (low - 1, high + 1, 1.5, True):
            with pytest.raises(
                P2vitError, match=rf"{name} is .*, but must be a whole number from {low} to {high}"
            ):
                ChunkMachine(**{name: value})


def test_lines_are_a_power_of_two():
    with pytest.raises(P2vitError, match="lines is 24; it must be a power of two from 8 to 64"):
        ChunkMachine(lines=24)


def test_the_shipped_machines_differ():
    assert len(set(MACHINES.values())) == len(MACHINES) == 3
    assert [machine.name for machine in MACHINES.values()] == ["16x16", "32x32", "8x8"]
