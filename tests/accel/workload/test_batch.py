import pytest

from p2vit.accel.machine.machines import load_machine
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.batch import batched
from p2vit.accel.workload.resolve import known_models, workload_of

TINY, SWIN = "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224"


@pytest.mark.parametrize("name", known_models())
def test_a_batch_does_the_work_of_its_images_and_keeps_one_copy_of_the_weights(name):
    one, three = workload_of(name), batched(workload_of(name), 3)
    assert (three.images, three.macs, three.input_bytes) == (3, 3 * one.macs, 3 * one.input_bytes)
    assert three.weight_bytes == one.weight_bytes
    for before, after in zip(one.operations, three.operations, strict=True):
        assert after.elements == 3 * before.elements
        assert after.table_bytes == before.table_bytes
        assert after.heads == before.heads
    assert batched(one, 1) is one


@pytest.mark.parametrize("images", [2, 8])
@pytest.mark.parametrize("model", [TINY, SWIN, "vit_small_patch32_224"])
@pytest.mark.parametrize("hardware", ["paper", "edge", "server", "fpga", "single_engine"])
def test_a_batch_takes_no_longer_than_its_images(hardware, model, images):
    machine, workload = load_machine(hardware), workload_of(model)
    one, many = (simulate(batched(workload, count), machine).result for count in (1, images))
    # On one engine, rows that no longer fit the chip move to DRAM; that is a trade of a few cycles in a thousand.
    assert many.cycles <= 1.005 * images * one.cycles
    assert many.images_per_s == pytest.approx(images / many.latency_ms * 1e3)
    assert many.gops < many.peak_gops
    assert (one.batch, many.batch) == (1, images)


@pytest.mark.parametrize("model", [TINY, SWIN])
@pytest.mark.parametrize("hardware", ["paper", "edge", "single_engine"])
def test_both_timing_models_agree_on_a_batch(hardware, model):
    workload, machine = batched(workload_of(model), 4), load_machine(hardware)
    closed, events = (simulate(workload, machine, method).result for method in ("closed_form", "events"))
    assert closed.cycles == pytest.approx(events.cycles, rel=0.03)


def test_weights_that_wait_for_dram_are_fetched_once_for_all_images():
    workload, machine = workload_of("vit_small_patch32_224"), load_machine("fpga")
    one, eight = (simulate(batched(workload, count), machine).result for count in (1, 8))
    assert eight.cycles < 0.7 * 8 * one.cycles
    assert eight.dram_bytes < 0.2 * 8 * one.dram_bytes
