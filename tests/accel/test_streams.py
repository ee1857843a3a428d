import pytest
from hypothesis import given, settings

from accel.machines_and_models import machines, workloads
from p2vit.accel.dataflow import schedule
from p2vit.accel.streams import Stream, streams_of


@settings(deadline=None, max_examples=40)
@given(machines(), workloads())
def test_tiles_carry_the_work_of_the_schedule(machine, workload):
    plan = schedule(machine, workload)
    streams = streams_of(machine, plan)
    occupied = sum(cost.occupied_cycles for section in plan.sections for cost in section.costs)
    assert sum(stream.occupied * stream.tiles for stream in streams) == pytest.approx(occupied)
    fetched = sum(sum(section.memory.fetched_bytes) for section in plan.sections)
    assert sum(stream.load_bytes * stream.passes for stream in streams) == pytest.approx(fetched)
    assert sum(stream.score_bytes * stream.tiles for stream in streams) == pytest.approx(0)
    assert all(need < stream.index for stream in streams for need, _, _ in stream.needs)


def stream(**changes):
    fields = dict.fromkeys(Stream.__dataclass_fields__, 0)
    for name in ("readers", "blocked_by"):
        fields.pop(name)
    return Stream(**(fields | {"window": (0, 0), "chunk": "gelu", "needs": (), "reuses": ()} | changes))


def test_rows_come_with_the_last_weight_pass():
    producer = stream(passes=3, groups=10)
    consumer = stream(passes=1, groups=5)
    assert consumer.needed_of(producer, "rows", False) == 2 * 10 + 2
    assert consumer.needed_of(producer, "all", False) == 30


def test_elements_come_pass_by_pass():
    producer, consumer = stream(passes=3, groups=10), stream(passes=3, groups=10, issued=11)
    assert consumer.needed_of(producer, "rows", True) == 12
