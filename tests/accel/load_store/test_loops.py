from collections import Counter

import pytest
from hypothesis import given, settings

from accel.load_store.machines import RTL, machines, workloads
from p2vit.accel.load_store.jobs import EngineJob, Load, Region
from p2vit.accel.load_store.loops import JobLoop
from p2vit.accel.organisation import schedule


def loop(**fields):
    """Return a loop of jobs whose work is that of their columns, and which load more in the first group."""

    def make(head, first, columns, group):
        loads = (Load(columns * (2 if group == 0 else 1), "rows"),)
        return EngineJob(
            0, "array", loads, columns, (), 0, (), (), 1, Region(0, head, group, first, first + columns)
        )

    return JobLoop(make, **({"columns": 50, "tile": 16, "groups": range(5)} | fields))


@pytest.mark.parametrize("by_group", [False, True])
def test_every_column_of_every_group_comes_once(by_group):
    jobs = list(loop(heads=2, by_group=by_group).jobs())
    covered = Counter(
        (job.writes.head, job.writes.group, column)
        for job in jobs
        for column in range(job.writes.first, job.writes.end)
    )
    assert set(covered.values()) == {1}
    assert len(covered) == 2 * 5 * 50


def test_tiles_come_before_groups_or_behind_them():
    tiles, groups = (
        [(job.writes.first, job.writes.group) for job in loop(by_group=by_group).jobs()][:5]
        for by_group in (False, True)
    )
    assert tiles == [(0, group) for group in range(5)]
    assert groups == [(0, 0), (16, 0), (32, 0), (48, 0), (0, 1)]


def test_the_first_and_the_last_job_are_those_of_the_loop():
    one = loop(heads=3)
    jobs = list(one.jobs())
    assert (one.first, one.last) == (jobs[0], jobs[-1])
    assert (one.runs, one.passes) == (len(jobs), 4) == (60, 4)


@pytest.mark.parametrize(
    ("fields", "later"),
    [({}, 4), ({"completes": 3}, 1), ({"by_group": True}, 16), ({"heads": 2, "own_heads": True}, 35)],
)
def test_later_jobs_come_after_the_first_complete_rows(fields, later):
    assert loop(**fields).later == later


def figures(job):
    """Return all figures of a job that a sum can depend on."""
    words = tuple((load.words, load.buffer, bool(load.reads)) for load in job.loads)
    return words, job.work, job.slowed, job.overhead, job.store_words, job.takes, job.releases


@settings(deadline=None, max_examples=30)
@given(machines(), workloads())
def test_the_kinds_are_the_jobs(machine, workload):
    """Each kind stands for as many jobs as it says, with the same words and cycles."""
    for section in set(schedule(machine, workload).sections):
        for index, tile in enumerate(section.tiles):
            one = section.source.loop(index, tile)
            kinds = Counter()
            for job, count in one.kinds:
                kinds[figures(job)] += count
            assert kinds == Counter(figures(job) for job in one.jobs())
            jobs = list(one.jobs())
            assert (one.first, one.last) == (jobs[0], jobs[-1])


def test_few_jobs_stand_for_many():
    from p2vit.accel.workload.resolve import workload_of

    block = schedule(RTL, workload_of("deit_tiny_patch16_224")).sections[2]
    kinds = sum(len(block.source.loop(index, tile).kinds) for index, tile in enumerate(block.tiles))
    assert 5 * kinds < len(block.jobs)
