import pytest
from hypothesis import given, settings

from accel.machines_and_models import machines, workloads
from p2vit.accel.chunks.costs import CHUNKS, RESOURCES
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.organisation import closed_form, schedule
from p2vit.accel.workload.resolve import workload_of

relaxed = settings(deadline=None, max_examples=60)


def timed(machine, workload):
    return closed_form(machine, schedule(machine, workload))


@relaxed
@given(machines(), workloads())
def test_cycles_add_up(machine, workload):
    timing = timed(machine, workload)
    assert sum(map(sum, timing.operation_cycles)) == pytest.approx(timing.cycles)
    for chunk in CHUNKS:
        stalls = timing.stalls[chunk]
        assert all(cycles >= 0 for cycles in stalls.values())
        assert timing.busy.get(chunk, 0) + sum(stalls.values()) == pytest.approx(timing.cycles)


@relaxed
@given(machines(), workloads())
def test_nothing_is_busy_for_longer_than_the_run(machine, workload):
    timing = timed(machine, workload)
    assert all(timing.busy.get(resource, 0) <= timing.cycles + 1e-6 for resource in RESOURCES)


def test_a_part_of_the_run_is_never_free():
    timing = timed(load_machine("paper"), workload_of("deit_tiny_patch16_224"))
    assert timing.phases
    assert all(phase.cycles > 0 and phase.limited_by for phase in timing.phases)
