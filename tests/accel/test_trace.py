import json

import pytest

from p2vit.accel.machine.machines import load_machine
from p2vit.accel.simulate import simulate
from p2vit.accel.trace import perfetto_trace
from p2vit.accel.workload.resolve import workload_of

RUN = simulate(workload_of("digits"), load_machine("edge"), "events")


def test_slices_are_the_tiles():
    trace = json.loads(perfetto_trace(RUN))
    slices = [event for event in trace["traceEvents"] if event["ph"] == "X" and event["cat"] != "stall"]
    assert len(slices) == len(RUN.timing.tiles)
    last = max(event["ts"] + event["dur"] for event in slices)
    assert last <= RUN.result.latency_ms * 1e3
    assert trace["otherData"]["modelled"] is True


def test_stalls_have_reasons():
    stalls = [
        event for event in json.loads(perfetto_trace(RUN))["traceEvents"] if event.get("cat") == "stall"
    ]
    assert stalls
    assert all(event["name"].removeprefix("stall: ") for event in stalls)


def test_a_closed_form_has_no_tiles():
    with pytest.raises(ValueError, match="needs tiles: simulate with method 'events'"):
        perfetto_trace(simulate(workload_of("digits"), load_machine("edge")))
