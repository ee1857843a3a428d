import pytest

from p2vit.errors import P2vitError
from p2vit.hdl.machines import machine_of
from p2vit.hdl.top.machine import MACHINES, RANGES, RtlMachine


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
        (
            "rtl",
            ["lines=many"],
            r"--set lines=many: lines must be a whole number from 2 to 64; e\.g\. --set lines=16",
        ),
        ("rtl", ["lanes=7"], r"lanes is 7; it must be even"),
        ("rtl", ["columns=15"], r"columns is 15; with 16 lines it must be 16 or more"),
        ("rtl", ["shifters=2"], r"shifters must be a whole number from 0 to 1; e\.g\. --set shifters=1"),
    ],
)
def test_what_is_wrong_is_named(name, changes, message):
    with pytest.raises(P2vitError, match=message):
        machine_of(name, changes)


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("text", ["-1", "low", "high", "", "1.5", "1e3", "\u00b2", "9" * 30])
def test_a_number_out_of_range_says_the_range(name, text):
    low, high = RANGES[name]
    text = {"low": str(low - 1), "high": str(high + 1)}.get(text, text)
    with pytest.raises(P2vitError) as refused:
        machine_of("rtl", [f"{name}={text}"])
    assert str(refused.value) == (
        f"--set {name}={text}: {name} must be a whole number from {low} to {high}; e.g. --set {name}="
        f"{getattr(MACHINES['rtl'], name)}"
    )
    with pytest.raises(
        P2vitError, match=f"RTL machine: {name} is {low - 1}, but must be a whole number from {low} to"
    ):
        RtlMachine(**{name: low - 1})
