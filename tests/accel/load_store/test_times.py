from accel.load_store.machines import RTL
from p2vit.accel.load_store.events import jobs_of
from p2vit.accel.load_store.order import RULES, ordered
from p2vit.accel.load_store.times import WordCycles, fastest, timed
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.organisation import schedule
from p2vit.accel.workload.resolve import workload_of

JOBS = jobs_of(schedule(RTL, workload_of("digits")))


def test_every_action_has_a_time_and_each_queue_works_in_order():
    found = timed(RTL, JOBS)
    assert len(found.spans) == sum(len(job.loads) + 1 + (job.writes is not None) for _, job in JOBS)
    for queue in ("load", "array", "vector", "store"):
        starts = [span.start for span in found.spans if span.queue == queue]
        assert starts == sorted(starts)
    assert found.stores == [span.end + 1 for span in found.spans if span.queue == "store"]
    assert found.cycles > max(span.end for span in found.spans)


def test_the_fastest_order_is_the_best_of_the_rules():
    words = WordCycles(RTL)
    cycles = [timed(RTL, ordered(JOBS, rule, 2, words)).cycles for rule in RULES]
    found = fastest(RTL, JOBS)
    assert found.cycles == min(cycles) < cycles[0]
    assert sorted(map(id, (job for _, job in found.jobs))) == sorted(map(id, (job for _, job in JOBS)))


def test_without_overlap_the_jobs_stay_in_program_order():
    serial = RTL.with_pipelining(inter_layer=False, intra_layer=True)
    found = fastest(serial, JOBS)
    assert found.jobs == JOBS
    stores, loads = {}, {}
    for span in found.spans:
        if span.queue == "store":
            stores[span.operation] = span.end
        elif span.queue == "load":
            loads.setdefault(span.operation, span.start)
    assert all(
        loads[at] > stores[before] for before, at in zip(sorted(stores), sorted(stores)[1:], strict=False)
    )


def test_a_slow_memory_takes_several_cycles_per_word():
    assert WordCycles(RTL)(7) == 7
    slow = edit_machine(RTL, {"dram.bandwidth_gbytes_per_s": 3.0})
    assert [WordCycles(slow)(words) for words in (1, 3, 10)] == [3, 8, 27]
    assert timed(slow, JOBS).cycles > timed(RTL, JOBS).cycles


def test_a_longer_latency_takes_longer():
    assert timed(RTL, JOBS, 200).cycles > timed(RTL, JOBS, 8).cycles == timed(RTL, JOBS).cycles
