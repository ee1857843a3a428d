"""The chunk model gives the cycles of the RTL for the description of an RTL machine."""

from dataclasses import replace
from importlib.resources import files
from itertools import product

import pytest

from p2vit.accel.load_store.array import weight_rows
from p2vit.accel.machine.machines import known_machines, load_machine
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.program import program_workload
from p2vit.hdl.compile.compiler import compile_program
from p2vit.hdl.description import description_of, description_text
from p2vit.hdl.timing import rtl_timing
from p2vit.hdl.top.machine import MACHINES, RANGES, RtlMachine
from p2vit.program.format import load
from support.programs import random_program
from support.rtl_programs import CONFIGURATIONS, ODD, PROGRAMS, TINY, program


def figures(whole, machine, description):
    """Return the cycles of the RTL timing, of the event-driven simulation and of the closed form."""
    workload = program_workload("p", whole)
    exact = rtl_timing(compile_program(whole, machine)).cycles
    events = simulate(workload, description, "events").result.cycles
    return exact, events, simulate(workload, description).result.cycles


@pytest.mark.parametrize("name", MACHINES)
def test_the_shipped_description_is_made_from_the_rtls_sizes(name):
    shipped = (files("p2vit.accel.machine") / "descriptions" / f"{name}.yaml").read_text(encoding="utf-8")
    assert shipped == description_text(MACHINES[name], name), "run python scripts/rtl_descriptions.py"
    assert load_machine(name) == description_of(MACHINES[name], name)


def test_every_machine_has_a_description():
    assert set(MACHINES) == {name for name in known_machines() if load_machine(name).load_store}


@pytest.mark.parametrize(
    "machine",
    [RtlMachine(lines=2, lanes=2, row_rows=1, weight_rows=1, columns=2, vector_columns=8), *CONFIGURATIONS],
    ids=lambda machine: f"{machine.name}-{machine.weight_rows}",
)
def test_a_described_buffer_is_the_rtls_to_the_byte(machine):
    """Also below 1,024 bytes, because the tiles of a layer follow from the size of the weight buffer."""
    described = description_of(machine, "x")
    assert weight_rows(described, described.load_store) == machine.weight_rows
    assert described.load_store.row_terms == machine.longest_row


@pytest.mark.parametrize("shifters", [False, True])
@pytest.mark.parametrize("lines", RANGES["lines"])
def test_every_allowed_machine_has_a_description(lines, shifters):
    """At all corners of the allowed sizes: the compiler schedules on the description."""
    names = [name for name in RANGES if name != "lines"]
    for corner in product(*(RANGES[name] for name in names)):
        sizes = dict(zip(names, corner, strict=True))
        sizes["columns"] = max(sizes["columns"], lines)
        machine = RtlMachine(lines=lines, shifters=shifters, **sizes)
        described = description_of(machine, "x")
        assert weight_rows(described, described.load_store) == machine.weight_rows
        assert described.load_store.shifters == shifters
        assert max(1.0, lines / described.dram_bytes_per_cycle) == 1.0


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
            assert events.cycles == rtl_timing(done).cycles
            compared += 1
    assert compared


@pytest.mark.parametrize("columns", [64, 67, 91])
def test_patches_that_exceed_the_vector_buffer_are_cut_at_rows_of_pixels(columns):
    whole = random_program(image=(14, 14), patch=7, dim=32, heads=2, mlp=64, depth=1)
    machine = RtlMachine(
        lines=5, lanes=6, row_rows=64, weight_rows=64, columns=32, vector_columns=columns, table_groups=1
    )
    exact, events, _ = figures(whole, machine, description_of(machine, "x"))
    assert events == exact


@pytest.mark.parametrize("name", ["int4", "mean", "linear"])
def test_split_multipliers_take_the_rtls_cycles(name):
    for machine in (replace(ODD, split=True, columns=33), replace(TINY, split=True)):
        exact, events, _ = figures(program(name), machine, description_of(machine, "x"))
        assert events == exact
