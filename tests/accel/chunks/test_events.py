import time

import pytest
from hypothesis import given, settings

from accel.machines_and_models import machines, workloads
from p2vit.accel.chunks.costs import CHUNKS, MAC, RESOURCES
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import known_machines, load_machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.organisation import simulate_events
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of
from support.tiers import extended

MODELS = [
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
    "deit_base_patch16_224",
    "vit_small_patch14_dinov2_224",
    "swin_tiny_patch4_window7_224",
]
QUICK = ["deit_tiny_patch16_224", "swin_tiny_patch4_window7_224"]


def stalled_share(timing):
    """Return the share of the run that the MAC array waits, without waits for weights and the end of the run."""
    free = ("dram: weights", "finished")
    return sum(n for why, n in timing.stalls[MAC].items() if not why.startswith(free)) / timing.cycles


@pytest.mark.parametrize("model", extended(MODELS, quick=QUICK))
@pytest.mark.parametrize("hardware", extended(["edge", "fpga", "paper", "server"], quick=["edge", "paper"]))
def test_levels_agree_within_3_percent(hardware, model):
    machine = load_machine(hardware)
    mapping = map_workload(machine, workload_of(model))
    assert simulate_events(machine, mapping.plan).cycles == pytest.approx(mapping.timing.cycles, rel=0.03)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(
    "model",
    extended([*MODELS, "vit_small_patch32_224"], quick=["deit_tiny_patch16_224", "vit_small_patch32_224"]),
)
def test_levels_agree_where_the_re_quantization_lanes_are_too_few(model, bits):
    """The lanes are idle while the array works on scores, unless attention × V waits for them just then."""
    machine = load_machine("multiplier_requant")
    mapping = map_workload(machine, workload_of(model, Precision(bits)))
    assert simulate_events(machine, mapping.plan).cycles == pytest.approx(mapping.timing.cycles, rel=0.03)


@pytest.mark.parametrize("inter", [False, True], ids=["serial", "inter-layer"])
@pytest.mark.parametrize("intra", [False, True], ids=["exposed", "intra-layer"])
def test_levels_agree_with_each_pipelining(inter, intra):
    machine = load_machine("paper").with_pipelining(inter_layer=inter, intra_layer=intra)
    mapping = map_workload(machine, workload_of("deit_small_patch16_224"))
    assert simulate_events(machine, mapping.plan).cycles == pytest.approx(mapping.timing.cycles, rel=0.01)


@settings(deadline=None, max_examples=30)
@given(machines(), workloads())
def test_cycles_add_up_and_every_stall_has_a_reason(machine, workload):
    mapping = map_workload(machine, workload)
    if mapping.timing is None:
        return
    timing = simulate_events(machine, mapping.plan)
    assert sum(map(sum, timing.operation_cycles)) == pytest.approx(timing.cycles)
    for chunk in CHUNKS:
        stalls = timing.stalls[chunk]
        assert all(reason and cycles > 0 for reason, cycles in stalls.items())
        assert timing.busy.get(chunk, 0) + sum(stalls.values()) == pytest.approx(timing.cycles)
    assert all(timing.busy.get(resource, 0) <= timing.cycles + 1 for resource in RESOURCES)


@settings(deadline=None, max_examples=30)
@given(machines(), workloads())
def test_both_levels_do_the_same_work(machine, workload):
    mapping = map_workload(machine, workload)
    if mapping.timing is None:
        return
    timing = simulate_events(machine, mapping.plan)
    for resource in RESOURCES:
        assert timing.busy.get(resource, 0) == pytest.approx(mapping.timing.busy.get(resource, 0))


@settings(deadline=None, max_examples=30)
@given(machines(), workloads())
def test_a_chunk_does_one_tile_at_a_time(machine, workload):
    mapping = map_workload(machine, workload)
    if mapping.timing is None:
        return
    free = dict.fromkeys(CHUNKS, 0.0)
    for tile in simulate_events(machine, mapping.plan).tiles:
        assert tile.start >= free[tile.chunk] - 1e-6
        assert bool(tile.reason) == (tile.waited > 0)
        free[tile.chunk] = tile.end


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("dram.bandwidth_gbytes_per_s", 0.5, "dram: weights not there yet"),
        ("chunks.softmax.lanes", 1, "softmax: its scores fill the accumulator buffer"),
        ("chunks.requantization.lanes", 1, "requantization: slower than the array"),
        ("buffers.activation.bytes_per_port_per_cycle", 1, "activation_buffer: slower than the array"),
        ("buffers.weight.bytes_per_port_per_cycle", 1, "weight buffer: too few bytes per cycle"),
        ("chunks.layernorm.lanes", 1, "layernorm: rows not there yet"),
    ],
)
def test_the_starved_resource_is_named(path, value, reason):
    machine = edit_machine(load_machine("paper"), {path: value})
    timing = simulate_events(machine, map_workload(machine, workload_of("deit_small_patch16_224")).plan)
    blamed = max(timing.stalls[MAC], key=timing.stalls[MAC].get)
    assert blamed == reason


def test_scores_press_back_when_the_softmax_is_slow():
    machine = edit_machine(
        load_machine("paper"), {"chunks.softmax.lanes": 1, "buffers.accumulator.size_bytes": 32768}
    )
    timing = simulate_events(machine, map_workload(machine, workload_of("deit_small_patch16_224")).plan)
    assert timing.stalls[MAC]["softmax: its scores fill the accumulator buffer"] > 0


def test_deit_base_within_5_seconds():
    machine = load_machine("paper")
    plan = map_workload(machine, workload_of("deit_base_patch16_224")).plan
    started = time.perf_counter()
    simulate_events(machine, plan)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("model", extended(MODELS, quick=QUICK))
@pytest.mark.parametrize("hardware", known_machines())
def test_every_description_runs_every_model(hardware, model):
    machine = load_machine(hardware)
    mapping = map_workload(machine, workload_of(model))
    # The generated accelerator refuses these programs too: rows of 3,072 terms, windows, models made for more lines.
    if hardware == "rtl-small" or (
        machine.organisation == "load_store" and model.startswith(("deit_base", "swin"))
    ):
        assert all(misfit.levers for misfit in mapping.misfits)
        assert mapping.misfits
        return
    assert not mapping.misfits
    assert simulate_events(machine, mapping.plan).cycles > 0
