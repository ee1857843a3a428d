import pytest

from p2vit.accel.machine.machines import load_machine
from p2vit.accel.peers.description import load_peers
from p2vit.accel.peers.table import peer_rows
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of

DEIT = "deit_small_patch16_224"
PEERS = {peer.name: peer for peer in load_peers()}


@pytest.fixture(scope="module")
def rows():
    return {row.system: row for row in peer_rows(load_machine("fpga"), [DEIT])}


def test_every_peer_has_a_row(rows):
    assert list(rows) == ["fpga", *PEERS]
    for row in rows.values():
        assert (row.clock_mhz, row.dram_gbytes_per_s, row.multipliers) == (200, 16, 2560)
        assert 0 < row.utilization <= 1
        assert row.speed == pytest.approx(row.images_per_second / rows["fpga"].images_per_second)


@pytest.mark.parametrize("name", ["auto-vit-acc-fixed", "i-vit"])
def test_a_row_is_what_simulate_says_about_its_machine(rows, name):
    machine = PEERS[name].beside(load_machine("fpga"))
    result = simulate(workload_of(DEIT, Precision(log2_attention=False)), machine).result
    row = rows[name]
    assert (row.latency_ms, row.images_per_second) == (result.latency_ms, result.images_per_s)
    assert (row.utilization, row.gops_per_dsp) == (result.utilization, result.gops_per_dsp)


def test_no_organisation_at_equal_size_beats_the_chunks_that_overlap(rows):
    assert max(row.speed for row in rows.values()) == rows["fpga"].speed


def test_weights_in_luts_save_dsps_and_no_time(rows):
    fixed, mixed = rows["auto-vit-acc-fixed"], rows["auto-vit-acc-pot"]
    assert mixed.latency_ms == fixed.latency_ms
    assert mixed.gops_per_dsp > 1.4 * fixed.gops_per_dsp


def test_published_figures_stand_beside_the_modelled_ones(rows):
    row = rows["auto-vit-acc-fixed"]
    assert (row.published_gops_per_dsp, row.published_source) == (0.367, "arXiv 2405.19915, table VII")
    assert rows["hg-pipe"].gops_per_dsp is None
    assert rows["hg-pipe"].latency_ms is None


def test_narrow_weights_are_those_of_the_workload():
    eight, four = (peer_rows(load_machine("fpga"), [DEIT], bits)[1] for bits in (8, 4))
    assert four.images_per_second > eight.images_per_second
