import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accel.machines_and_models import machines, workloads
from p2vit.accel.machine.edit import edit_machine, value_at
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.workload.resolve import workload_of
from support.tiers import extended

MODELS = [
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
    "deit_base_patch16_224",
    "vit_small_patch14_dinov2_224",
    "swin_tiny_patch4_window7_224",
]
# Everything that an architect may halve.
HALVES = [
    "chunks.mac_array.lines",
    "chunks.mac_array.lanes_per_line",
    "chunks.shifter_array.lines",
    "chunks.shifter_array.lanes_per_line",
    "chunks.layernorm.lanes",
    "chunks.softmax.lanes",
    "chunks.requantization.lanes",
    "chunks.gelu.lanes",
    "chunks.elementwise.lanes",
    "buffers.activation.bytes_per_port_per_cycle",
    "buffers.weight.bytes_per_port_per_cycle",
    "dram.bandwidth_gbytes_per_s",
]


def cycles(machine, workload):
    timing = map_workload(machine, workload).timing
    return timing.cycles if timing else None


def halved(machine, path):
    before = value_at(machine, path)
    return edit_machine(machine, {path: before // 2 if isinstance(before, int) else before / 2})


@settings(deadline=None, max_examples=100)
@given(machines(), workloads(), st.sampled_from(HALVES))
def test_halving_never_makes_it_faster(machine, workload, path):
    assume(machine.shifters or "shifter" not in path)
    assume(not isinstance(value_at(machine, path), int) or value_at(machine, path) >= 2)
    before, after = cycles(machine, workload), cycles(halved(machine, path), workload)
    assume(before is not None)
    assert after is None or after >= before


@pytest.mark.parametrize("model", extended(MODELS, quick=["deit_tiny_patch16_224"]))
@pytest.mark.parametrize("path", HALVES)
def test_halving_a_shipped_machine_never_makes_it_faster(model, path):
    machine, workload = load_machine("paper"), workload_of(model)
    assert cycles(halved(machine, path), workload) >= cycles(machine, workload)


def test_a_row_group_as_large_as_the_image_is_cut():
    machine = edit_machine(
        load_machine("paper"), {"chunks.mac_array.lines": 200, "buffers.accumulator.size_bytes": 1048576}
    )
    mapping = map_workload(machine, workload_of("deit_tiny_patch16_224"))
    assert mapping.active_lines < 200


def test_lines_are_given_up_where_their_scores_do_not_fit():
    machine = edit_machine(load_machine("paper"), {"buffers.accumulator.size_bytes": 20000})
    mapping = map_workload(machine, workload_of("deit_tiny_patch16_224"))
    assert mapping.timing
    assert mapping.active_lines == 20
    block = mapping.plan.sections[1]
    used = {op.kind: cost.lines for op, cost in zip(block.operations, block.costs, strict=True)}
    assert used["scores"] == used["softmax"] == 20000 // (2 * 197 * 4)
    assert used["linear"] == 20


def test_what_cannot_fit_says_why():
    machine = edit_machine(load_machine("paper"), {"buffers.accumulator.size_bytes": 1024})
    mapping = map_workload(machine, workload_of("deit_tiny_patch16_224"))
    assert mapping.timing is None
    assert mapping.active_lines == 20
    assert all(misfit.demand > misfit.bound and misfit.levers for misfit in mapping.misfits)
