import pytest

from p2vit.accel.machine.machines import load_machine


def test_bytes_per_cycle():
    machine = load_machine("paper")
    assert machine.dram_bytes_per_cycle == pytest.approx(25.6e9 / 500e6)
    assert machine.dram_latency_cycles == 50
    assert machine.buffers.activation.bytes_per_cycle == 16 * 16


def test_every_dsp_is_counted():
    machine = load_machine("fpga")
    assert machine.chunks.mac_array.macs_per_cycle == 2560
    assert machine.dsps == 2560 / 2 + 32 * 2 + 40 + 40


def test_an_asic_has_no_dsps():
    assert load_machine("paper").dsps == 0


def test_pipelining_is_switched_in_a_copy():
    machine = load_machine("paper")
    serial = machine.with_pipelining(inter_layer=False, intra_layer=True)
    assert not serial.pipelining.inter_layer
    assert machine.pipelining.inter_layer
