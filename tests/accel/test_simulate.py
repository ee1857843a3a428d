import statistics
import time

import pytest
from hypothesis import given, settings

from accel.machines_and_models import machines, workloads
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.resolve import workload_of


@settings(deadline=None, max_examples=60)
@given(machines(), workloads())
def test_layers_add_up_to_the_run(machine, workload):
    result = simulate(workload, machine).result
    if not result.fits:
        assert result.infeasible
        assert result.cycles is None
        return
    assert sum(layer.macs for layer in result.layers) == workload.macs == result.macs
    assert sum(layer.cycles for layer in result.layers) == pytest.approx(result.cycles)
    assert sum(layer.dram_bytes for layer in result.layers) == pytest.approx(result.dram_bytes)
    assert result.dram_bytes >= workload.weight_bytes + workload.input_bytes
    apart = sum(result.energy_breakdown_mj[each] for each in ("leakage", "idle_clock"))
    energy = sum(layer.energy_pj for layer in result.layers) / 1e9 + apart
    assert energy == pytest.approx(result.energy_mj)
    assert sum(result.area_breakdown_mm2.values()) == pytest.approx(result.area_mm2)
    assert all(0 < layer.utilization <= 1 + 1e-9 for layer in result.layers)
    assert result.utilization <= 1


@pytest.mark.parametrize(
    "model", ["deit_tiny_patch16_224", "deit_small_patch16_224", "deit_base_patch16_224"]
)
@pytest.mark.parametrize("hardware", ["fpga", "paper"])
def test_mac_array_is_used_to_90_percent(hardware, model):
    result = simulate(workload_of(model), load_machine(hardware), "events").result
    assert result.utilization >= 0.90


def test_gops_per_dsp_is_what_it_says():
    result = simulate(workload_of("deit_small_patch16_224"), load_machine("fpga")).result
    gops = 2 * result.macs / (result.cycles / (result.clock_mhz * 1e6)) / 1e9
    assert result.gops_per_dsp == pytest.approx(gops / result.dsps)
    assert result.macs_per_dsp == 2


def test_closed_form_within_50_ms():
    machine, workload = load_machine("paper"), workload_of("deit_base_patch16_224")
    times = []
    for _ in range(9):
        started = time.perf_counter()
        simulate(workload, machine)
        times.append(time.perf_counter() - started)
    assert statistics.median(times) < 0.05


def test_what_does_not_fit_is_a_result():
    machine = edit_machine(load_machine("paper"), {"buffers.activation.size_bytes": 20000})
    result = simulate(workload_of("deit_base_patch16_224"), machine).result
    assert not result.fits
    assert result.infeasible[0].gap > 0
    assert any("buffers.activation.size_bytes" in lever for lever in result.infeasible[0].levers)
    assert result.area_mm2 > 0


def test_table_is_named_and_everything_is_modelled():
    result = simulate(workload_of("deit_tiny_patch16_224"), load_machine("paper")).result
    assert result.technology == "cacti28"
    assert result.modelled is True
