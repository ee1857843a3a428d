import pytest

from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.peers.pipeline import spatial_pipeline
from p2vit.accel.workload.resolve import workload_of

FPGA = load_machine("fpga")
MODELS = ("deit_tiny_patch16_224", "deit_base_patch16_224", "swin_tiny_patch4_window7_224")


@pytest.mark.parametrize("model", MODELS)
def test_the_interval_is_the_smallest_that_the_multipliers_allow(model):
    workload = workload_of(model)
    found = spatial_pipeline(workload, FPGA)
    macs = [op.macs for op in workload.operations if op.macs]

    def needed(cycles):
        return sum(-(-each // cycles) for each in macs)

    lanes = FPGA.chunks.mac_array.macs_per_cycle
    assert found.limited_by == "multipliers"
    assert needed(found.interval_cycles) <= lanes < needed(found.interval_cycles - 1)
    assert found.utilization == pytest.approx(workload.macs / found.interval_cycles / lanes)
    assert 0.9 < found.utilization <= 1


def test_weights_that_do_not_fit_are_read_for_every_image():
    workload = workload_of("deit_base_patch16_224")
    slow = edit_machine(FPGA, {"dram.bandwidth_gbytes_per_s": 0.5})
    found = spatial_pipeline(workload, slow)
    assert found.limited_by == "dram"
    assert found.dram_bytes == workload.weight_bytes + workload.input_bytes
    assert found.interval_cycles == -(-found.dram_bytes // slow.dram_bytes_per_cycle)
    roomy = edit_machine(slow, {"buffers.weight.size_bytes": 1 << 27})
    assert spatial_pipeline(workload, roomy).dram_bytes == workload.input_bytes


def test_more_products_than_multipliers_have_no_pipeline():
    small = edit_machine(FPGA, {"chunks.mac_array.lines": 1})
    assert spatial_pipeline(workload_of(MODELS[0]), small) is None
