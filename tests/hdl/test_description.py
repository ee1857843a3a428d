"""The chunk model gives the cycles of the RTL for the description of an RTL machine."""

import pytest

from p2vit.accel.machine.machines import load_machine
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.program import program_workload
from p2vit.errors import P2vitError
from p2vit.hdl.compile.compiler import compile_program
from p2vit.hdl.description import description_of
from p2vit.hdl.timing import rtl_timing
from p2vit.hdl.top.machine import MACHINES, RtlMachine
from p2vit.program.format import load
from support.rtl_programs import CONFIGURATIONS, ODD, PROGRAMS, TINY, program


def figures(whole, machine, description):
    """Return the cycles of the RTL timing, of the event-driven simulation and of the closed form."""
    workload = program_workload("p", whole)
    exact = rtl_timing(compile_program(whole, machine).descriptors, machine).cycles
    events = simulate(workload, description, "events").result.cycles
    return exact, events, simulate(workload, description).result.cycles


@pytest.mark.parametrize("name", MACHINES)
def test_the_shipped_description_is_the_rtl(name):
    shipped, made = (m.model_dump() for m in (load_machine(name), description_of(MACHINES[name], name)))
    words = ("known", "assumed")
    assert {k: v for k, v in shipped.items() if k not in words} == {
        k: v for k, v in made.items() if k not in words
    }


@pytest.mark.parametrize("hardware", MACHINES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_random_vits_take_the_rtls_cycles(name, hardware):
    exact, events, closed = figures(program(name), MACHINES[hardware], load_machine(hardware))
    assert events == exact
    assert closed == pytest.approx(exact, rel=0.12)


@pytest.mark.parametrize("bits", ["w8a8", "w4a8"])
@pytest.mark.parametrize("hardware", ["rtl", "rtl-small"])
def test_digits_takes_the_rtls_cycles(digits, hardware, bits):
    exact, events, closed = figures(load(digits(bits)), MACHINES[hardware], load_machine(hardware))
    assert events == exact
    assert closed == pytest.approx(exact, rel=0.06)


@pytest.mark.parametrize(
    "machine",
    [ODD, TINY, *CONFIGURATIONS[:5], RtlMachine(lines=20, lanes=12)],
    ids=lambda machine: machine.name,
)
def test_other_shapes_take_the_rtls_cycles(machine):
    compared = 0
    for name in PROGRAMS:
        workload = program_workload(name, program(name))
        events = simulate(workload, description_of(machine, "x"), "events").result
        if events.fits:
            done = compile_program(program(name), machine)
            assert events.cycles == rtl_timing(done.descriptors, machine).cycles
            compared += 1
    assert compared


def test_split_multipliers_have_no_description():
    with pytest.raises(
        P2vitError, match="x: split multipliers have no description for the chunk model; set split=0"
    ):
        description_of(RtlMachine(split=True), "x")
