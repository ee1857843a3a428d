from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.load_store.machines import RTL, machines, workloads
from p2vit.accel.load_store.jobs import EngineJob, Load, Region
from p2vit.accel.load_store.order import RULES, WrittenRegions, actions, ordered
from p2vit.accel.organisation import schedule
from p2vit.accel.workload.resolve import workload_of


def placed(machine, workload):
    base, jobs = 0, []
    for section in schedule(machine, workload).sections:
        jobs += [(base, job) for job in section.jobs]
        base += len(section.operations)
    return jobs


@settings(deadline=None, max_examples=30)
@given(machines(), workloads(), st.sampled_from(RULES))
def test_nothing_is_lost_and_nobody_reads_too_early(machine, workload, rule):
    jobs = placed(machine, workload)
    order = ordered(jobs, rule, 2, int)
    assert Counter(map(id, (u for _, u in order))) == Counter(map(id, (u for _, u in jobs)))
    for engine in ("array", "vector"):
        kept = [(base, id(job)) for base, job in order if job.engine == engine]
        assert kept == [(base, id(job)) for base, job in jobs if job.engine == engine]
    written = WrittenRegions(jobs)
    for base, job in order:
        assert all(written.after(base, load.reads) is not None for load in job.loads)
        if job.writes:
            written.write(base, job.writes)


def test_rows_flow():
    jobs = placed(RTL, workload_of("deit_tiny_patch16_224"))
    order = ordered(jobs, "loads", 2, int)
    engines = [job.engine for base, job in order if base == jobs[-1][0]]
    assert engines
    first_array = next(at for at, (base, job) in enumerate(order) if base == 3 and job.engine == "array")
    norms = sum(job.operation == 0 for base, job in order[:first_array] if base == 3)
    assert 1 <= norms < 13  # LayerNorm's later groups come behind the linear's first


def job(engine, operation, group, *reads):
    """Return a job that writes ten columns of a group and reads the same group of other operations."""
    loads = (Load(10, "rows", tuple(Region(read, 0, group) for read in reads)),)
    return 0, EngineJob(operation, engine, loads, 30, (), 0, (), (), 10, Region(operation, 0, group, 0, 10))


@pytest.mark.parametrize("rule", ["loads", "runs"])
def test_rows_flow_and_each_engine_keeps_its_order(rule):
    norms = [job("vector", 0, group) for group in range(5)]
    linears = [job("array", 1, group, 0) for group in range(5)]
    adds = [job("vector", 2, group, 1) for group in range(5)]
    order = ordered([*norms, *linears, *adds], rule, 2, int)
    assert [placed for placed in order if placed[1].engine == "array"] == linears
    assert [placed for placed in order if placed[1].engine == "vector"] == [*norms, *adds]
    assert order.index(linears[0]) < order.index(norms[4])
    for group in range(5):
        assert order.index(norms[group]) < order.index(linears[group]) < order.index(adds[group])


class Names:
    """Payload that says what each action is."""

    def load(self, operation, job, load, after):
        return "load", operation, after

    def run(self, operation, job):
        return "run", operation

    def store(self, operation, job):
        return "store", operation


def test_actions_are_loads_run_and_store_and_a_load_waits_for_the_last_store_into_what_it_reads():
    jobs = [job("array", 0, 0), job("array", 0, 1), job("vector", 1, 0, 0)]
    silent = jobs[2][1]._replace(operation=2, writes=None, store_words=0)
    found = list(actions([*jobs, (0, silent)], Names()))
    assert found == [
        ("load", 0, 0), ("run", 0), ("store", 0),
        ("load", 0, 0), ("run", 0), ("store", 0),
        ("load", 1, 1), ("run", 1), ("store", 1),
        ("load", 2, 1), ("run", 2),
    ]  # fmt: skip


def test_a_job_that_reads_too_early_is_a_defect():
    with pytest.raises(AssertionError, match="a defect of the schedule"):
        list(actions([job("vector", 1, 0, 0), job("array", 0, 0)], Names()))
    with pytest.raises(AssertionError, match="depend on each other in a circle"):
        ordered([job("vector", 1, 0, 0), job("array", 0, 0, 1)], "loads", 2, int)


@pytest.mark.parametrize("rule", RULES)
def test_columns_are_waited_for_one_by_one(rule):
    def half(first, end):
        return 0, job("array", 0, 0)[1]._replace(writes=Region(0, 0, 0, first, end))

    jobs = [half(0, 64), half(64, 100)]
    written = WrittenRegions(jobs)
    assert written.after(0, [Region(0, 0, 0)]) is None
    written.write(0, Region(0, 0, 0, 0, 64))
    assert written.after(0, [Region(0, 0, 0, 32, 64)]) == 1
    assert written.after(0, [Region(0, 0, 0, 32, 64), Region(0, 0, 0)]) is None
    assert written.after(0, [Region(0, 0, 0, 32, 96)]) is None
    written.write(0, Region(0, 0, 0, 64, 100))
    assert written.after(0, [Region(0, 0, 0)]) == 2
    assert written.after(0, [Region(0, 0, 0, 0, 64)]) == 1
    # What no job writes is there from the start.
    assert written.after(0, [Region(7, 0, 0)]) == 0
    assert len(ordered(jobs, rule, 2, int)) == 2
