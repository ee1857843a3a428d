import pytest

from p2vit.errors import P2vitError
from p2vit.hdl.machines import machine_of
from p2vit.hdl.top.machine import MACHINES, RtlMachine


def test_sizes_are_changed_by_name():
    machine = machine_of("rtl", ["lines=5", "shifters=0"])
    assert (machine.lines, machine.shifters, machine.lanes) == (5, False, MACHINES["rtl"].lanes)
    assert RtlMachine(lines=3).parameter_words == 3


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "rtl-wid",
            [],
            r"no RTL machine 'rtl-wid'\. Did you mean 'rtl-wide'\? There are: rtl, rtl-wide, rtl-small",
        ),
        ("rtl", ["line=3"], r"no parameter 'line'\. Did you mean 'lines'\?"),
        ("rtl", ["lines=many"], r"--set lines=many: 'many' is no whole number; e\.g\. --set lines=16"),
        ("rtl", ["lines=65"], r"RTL machine: lines is 65; allowed are 2 to 64"),
        ("rtl", ["lanes=7"], r"lanes is 7; it must be even"),
        ("rtl", ["columns=15"], r"columns is 15; with 16 lines it must be 16 or more"),
        ("rtl", ["shifters=2"], r"shifters is 0 or 1"),
    ],
)
def test_what_is_wrong_is_named(name, changes, message):
    with pytest.raises(P2vitError, match=message):
        machine_of(name, changes)
