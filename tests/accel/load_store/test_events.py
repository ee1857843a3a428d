from itertools import pairwise

import pytest
from hypothesis import given, settings

from accel.load_store.machines import RTL, WIDE, machines, workloads
from p2vit.accel.chunks.costs import CHUNKS, RESOURCES
from p2vit.accel.load_store.events import FILL, OTHER_WORK
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.organisation import simulate_events
from p2vit.accel.workload.resolve import workload_of

DEIT = workload_of("deit_tiny_patch16_224")
ARRAY, VECTOR = ("mac_array", "shifter_array"), ("layernorm", "softmax", "gelu", "elementwise")


def timed(machine, workload=DEIT):
    return simulate_events(machine, map_workload(machine, workload).plan)


@settings(deadline=None, max_examples=30)
@given(machines(), workloads())
def test_cycles_add_up_and_every_stall_has_a_reason(machine, workload):
    timing = timed(machine, workload)
    assert sum(map(sum, timing.operation_cycles)) == pytest.approx(timing.cycles)
    for chunk in CHUNKS:
        stalls = timing.stalls[chunk]
        assert all(reason and cycles > 0 for reason, cycles in stalls.items())
        assert timing.busy.get(chunk, 0) + sum(stalls.values()) == pytest.approx(timing.cycles)
    assert all(timing.busy.get(resource, 0) <= timing.cycles for resource in RESOURCES)


@settings(deadline=None, max_examples=30)
@given(machines(), workloads())
def test_an_engine_does_one_thing_at_a_time(machine, workload):
    """The chunks of one engine share its hardware, so only one of them can work at a time."""
    tiles = timed(machine, workload).tiles
    for engine in (ARRAY, VECTOR):
        free = 0.0
        for tile in sorted((tile for tile in tiles if tile.chunk in engine), key=lambda tile: tile.start):
            assert tile.start >= free
            free = tile.end


@pytest.mark.extended
def test_one_operation_at_a_time_is_slower():
    serial = RTL.with_pipelining(inter_layer=False, intra_layer=True)
    exposed = RTL.with_pipelining(inter_layer=True, intra_layer=False)
    assert timed(serial).cycles > 1.1 * timed(RTL).cycles
    assert timed(exposed).stalls["mac_array"]["requantization: not hidden"] > 0
    ends = {}
    for tile in timed(serial).tiles:
        first, last = ends.setdefault((tile.section, tile.operation), [tile.start, tile.end])
        ends[tile.section, tile.operation] = [min(first, tile.start), max(last, tile.end)]
    spans = [ends[key] for key in sorted(ends)]
    assert all(before[1] < after[0] for before, after in pairwise(spans))


@pytest.mark.parametrize(
    ("path", "value", "chunk", "reason"),
    [
        ("dram.bandwidth_gbytes_per_s", 1, "mac_array", "load: rows not there yet"),
        pytest.param(
            "chunks.softmax.lanes", 1, "mac_array", "load: rows not there yet", marks=pytest.mark.extended
        ),
        ("chunks.requantization.lanes", 1, "mac_array", "requantization: slower than the array"),
        pytest.param("load_store.run_cycles", 200, "mac_array", FILL, marks=pytest.mark.extended),
    ],
)
def test_the_starved_resource_is_named(path, value, chunk, reason):
    machine = edit_machine(RTL, {path: value})
    before, after = timed(RTL), timed(machine)
    assert after.cycles > before.cycles
    grown = {why: n - before.stalls[chunk].get(why, 0) for why, n in after.stalls[chunk].items()}
    grown.pop(OTHER_WORK, None)
    assert grown[reason] > 0


def test_scores_go_out_and_come_back():
    """The scores go to external memory and back, and the array waits for them."""
    assert timed(RTL).stalls["mac_array"]["store: output buffers full"] > 0


@pytest.mark.extended
def test_more_lines_pay():
    dinov2 = workload_of("vit_small_patch14_dinov2_224")
    assert 1.8 < timed(RTL, dinov2).cycles / timed(WIDE, dinov2).cycles < 2
