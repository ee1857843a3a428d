import numpy as np
import pytest
from hypothesis import given, settings

from accel.machines_and_models import machines, workloads
from p2vit.accel.chunks.closed_form import cycles_of_many
from p2vit.accel.chunks.costs import MAC
from p2vit.accel.chunks.dataflow import LineCounts
from p2vit.accel.chunks.flow import Flow
from p2vit.accel.chunks.memory import pipelined
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.organisation import closed_form, schedule
from p2vit.accel.workload.resolve import workload_of

PAIRS = [(20, 20), (20, 11), (11, 20), (7, 3), (1, 1)]


def one_by_one(machine, workload):
    return [closed_form(machine, schedule(machine, workload, LineCounts(*pair))).cycles for pair in PAIRS]


def at_once(machine, workload):
    rows, scores = (np.array(numbers) for numbers in zip(*PAIRS, strict=True))
    return cycles_of_many(machine, schedule(machine, workload, LineCounts(rows, scores)), len(PAIRS)).tolist()


@pytest.mark.parametrize("model", ["digits", "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
@pytest.mark.parametrize("hardware", ["paper", "multiplier_requant"])
def test_many_mappings_at_once_are_timed_as_each_alone(hardware, model):
    machine, workload = load_machine(hardware), workload_of(model)
    assert at_once(machine, workload) == one_by_one(machine, workload)


@settings(deadline=None, max_examples=30)
@given(machines(), workloads())
def test_so_they_are_on_machines_of_all_sorts(machine, workload):
    if not pipelined(machine) or any(s.memory.misfits for s in schedule(machine, workload).sections):
        return
    # Two walks may differ by less than a cycle's rounding.
    assert at_once(machine, workload) == pytest.approx(one_by_one(machine, workload), abs=1)


def test_equal_heads_are_walked_until_nothing_changes():
    """Skipping repeated phases gives the same times as timing each of them."""
    machine = load_machine("paper")
    section = schedule(machine, workload_of("vit_large_patch16_224")).sections[1]
    assert max(section.repeats) >= 12
    skipping, walking = Flow(machine), Flow(machine)
    skipping.section(section)
    section.__dict__["repeats"] = [0] * section.phases
    walking.section(section)
    assert skipping.end() == pytest.approx(walking.end(), abs=1e-3)
    assert skipping.free[MAC] == pytest.approx(walking.free[MAC], abs=1e-3)
