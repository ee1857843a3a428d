import pytest
from hypothesis import given, settings

from accel.machines_and_models import machines, workloads
from p2vit.accel.chunks.task_state import TaskState, task_states
from p2vit.accel.organisation import schedule


@settings(deadline=None, max_examples=40)
@given(machines(), workloads())
def test_tiles_carry_the_work_of_the_schedule(machine, workload):
    plan = schedule(machine, workload)
    states = task_states(machine, plan)
    occupied = sum(cost.occupied_cycles for section in plan.sections for cost in section.costs)
    assert sum(state.occupied * state.tiles for state in states) == pytest.approx(occupied)
    fetched = sum(sum(section.memory.fetched_bytes) for section in plan.sections)
    assert sum(state.load_bytes * state.passes for state in states) == pytest.approx(fetched)
    assert sum(state.score_bytes * state.tiles for state in states) == pytest.approx(0)
    assert all(need < state.index for state in states for need, _, _ in state.needs)


def state(**changes):
    fields = dict.fromkeys(TaskState.__dataclass_fields__, 0)
    for name in ("readers", "blocked_by"):
        fields.pop(name)
    return TaskState(**(fields | {"window": (0, 0), "chunk": "gelu", "needs": (), "reuses": ()} | changes))


def test_rows_come_with_the_last_weight_pass():
    producer = state(passes=3, groups=10)
    consumer = state(passes=1, groups=5)
    assert consumer.needed_of(producer, "rows", False) == 2 * 10 + 2
    assert consumer.needed_of(producer, "all", False) == 30


def test_elements_come_pass_by_pass():
    producer, consumer = state(passes=3, groups=10), state(passes=3, groups=10, issued=11)
    assert consumer.needed_of(producer, "rows", True) == 12
