import pytest

from p2vit.accel.chunks.dataflow import TaskSection
from p2vit.accel.load_store.section import JobSection
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.organisation import closed_form, schedule, simulate_events
from p2vit.accel.workload.resolve import workload_of

DEIT = workload_of("deit_tiny_patch16_224")


@pytest.mark.parametrize(("name", "kinds"), [("paper", 3), ("single_engine", 3), ("rtl", 4)])
def test_equal_blocks_are_scheduled_once(name, kinds):
    """On a load-store machine, the first block differs: its LayerNorm loads the table of roots."""
    plan = schedule(load_machine(name), DEIT)
    assert len(plan.sections) == len(plan.operations) == 14
    assert len({id(section) for section in plan.sections}) == kinds


@pytest.mark.parametrize(
    ("name", "kind"), [("paper", TaskSection), ("single_engine", TaskSection), ("rtl", JobSection)]
)
def test_every_organisation_has_its_sections_and_both_timings(name, kind):
    machine = load_machine(name)
    plan = schedule(machine, DEIT)
    assert all(type(section) is kind for section in plan.sections)
    closed, events = closed_form(machine, plan), simulate_events(machine, plan)
    assert closed.phases
    assert events.tiles
    assert closed.cycles == pytest.approx(events.cycles, rel=0.05)
