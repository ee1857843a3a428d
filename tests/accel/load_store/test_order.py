from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.load_store.machines import RTL, machines, workloads
from p2vit.accel.chunks.dataflow import schedule
from p2vit.accel.load_store.jobs import EngineJob, Region
from p2vit.accel.load_store.order import RULES, WrittenRegions, ordered
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
        assert written.all_of(base, job) is not None
        if job.writes:
            written.write(base, job.writes, 1)


def test_rows_flow():
    jobs = placed(RTL, workload_of("deit_tiny_patch16_224"))
    order = ordered(jobs, "loads", 2, int)
    engines = [job.engine for base, job in order if base == jobs[-1][0]]
    assert engines
    first_array = next(at for at, (base, job) in enumerate(order) if base == 3 and job.engine == "array")
    norms = sum(job.operation == 0 for base, job in order[:first_array] if base == 3)
    assert 1 <= norms < 13  # LayerNorm's later groups come behind the linear's first


@pytest.mark.parametrize("rule", RULES)
def test_a_region_is_written_when_all_its_columns_are(rule):
    def job(first, end):
        return EngineJob(0, "array", (), 1, (), 0, (), (), 1, Region(0, 0, 0, first, end))

    jobs = [(0, job(0, 64)), (0, job(64, 100))]
    written = WrittenRegions(jobs)
    written.write(0, Region(0, 0, 0, 0, 64), 7)
    assert written.when(0, Region(0, 0, 0, 32, 64)) == 7
    assert written.when(0, Region(0, 0, 0)) is None
    assert written.when(0, Region(0, 0, 0, 32, 96)) is None
    written.write(0, Region(0, 0, 0, 64, 100), 9)
    assert written.when(0, Region(0, 0, 0)) == 9
    assert written.when(0, Region(0, 0, 0, 0, 64)) == 7
    assert len(ordered(jobs, rule, 2, int)) == 2
