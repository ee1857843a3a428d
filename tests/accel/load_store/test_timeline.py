import pytest

from p2vit.accel.load_store.timeline import STORE_LATENCY, EngineTimeline


def engines(**changes):
    return EngineTimeline(**{"slots": 2, "queue_depth": 8, "in_flight": 8, "latency": 5} | changes)


def test_a_load_a_run_and_a_store_follow_each_other():
    timeline = engines()
    start, end = timeline.load(10, "rows", opens=True, closes=True)
    assert (start, end) == (2, 2 + 10 + 5 + 1)  # dispatched, seen; the last word's answer, written
    assert timeline.run("array", 20, ["rows"], ["rows"]) == (end + 1, end + 21)
    assert timeline.reason == "load: rows not there yet"
    assert timeline.store("array", 7) == (end + 22, end + 22 + 7 + STORE_LATENCY)


def test_a_third_load_waits_for_the_slot_of_the_first_run():
    timeline = engines()
    for _ in range(2):
        timeline.load(10, "rows", opens=True, closes=True)
    _, end = timeline.run("array", 100, ["rows"], ["rows"])
    timeline.run("array", 100, ["rows"], ["rows"])
    start, _ = timeline.load(10, "rows", opens=True, closes=True)
    assert start == end + 1


def test_runs_wait_for_their_output_buffers():
    timeline = engines()
    for _ in range(2):
        timeline.run("vector", 3, [], [])
    _, done = timeline.store("vector", 50)
    assert timeline.run("vector", 3, [], [])[0] == done
    assert timeline.reason == "store: output buffers full"
    assert timeline.run("array", 3, [], [], emits=False)[0] < done


def test_a_load_waits_for_what_it_reads_and_a_gather_for_all_before_it():
    timeline = engines()
    assert timeline.load(1, "vector", opens=True, closes=True, after=99)[0] == 99
    _, end = timeline.load(1, "vector", opens=True, closes=True)
    assert timeline.load(1, "rows", opens=True, closes=True, gather=True)[0] == end + 1


def test_answers_in_flight_are_bounded():
    timeline = engines(in_flight=1, latency=100)
    _, end = timeline.load(1, "rows", opens=True, closes=True)
    assert timeline.load(1, "rows", opens=True, closes=True)[0] == end + 1


def test_a_full_queue_holds_the_dispatcher_for_everyone():
    timeline = engines(queue_depth=1)
    timeline.run("array", 10, [], [], emits=False)
    begun = [timeline.run("array", 10, [], [], emits=False)[0] for _ in range(3)]
    # The vector engine is idle, and still sees its first run only behind them.
    assert timeline.run("vector", 1, [], [], emits=False)[0] == begun[-2] + 3
    assert timeline.reason == "descriptors: not there yet"


@pytest.mark.parametrize("after", [0, 1000])
def test_the_end_waits_for_the_last_store(after):
    timeline = engines()
    timeline.load(10, "rows", opens=True, closes=True)
    assert timeline.end(after) == max(after, 2 + 10 + 1) + 1
