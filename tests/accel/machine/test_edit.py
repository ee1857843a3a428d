import pytest

from p2vit.accel.machine.edit import edit_machine, value_at
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.problems import AccelError

PAPER = load_machine("paper")


def test_changes_a_copy():
    changed = edit_machine(PAPER, {"chunks.mac_array.lines": 40, "clock_mhz": 100})
    assert value_at(changed, "chunks.mac_array.lines") == 40
    assert (changed.clock_mhz, PAPER.clock_mhz) == (100, 500)


def test_unknown_paths_all_at_once():
    with pytest.raises(AccelError, match=r"(?s)did you mean 'chunks.mac_array.lines'\?.*clock: no such key"):
        edit_machine(PAPER, {"chunks.mac_array.line": 1, "clock": 1})


def test_forbidden_values():
    with pytest.raises(
        AccelError, match=r"chunks\.gelu\.lanes: Input should be greater than or equal to 1, not 0"
    ):
        edit_machine(PAPER, {"chunks.gelu.lanes": 0})
