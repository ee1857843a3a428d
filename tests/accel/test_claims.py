import pytest

from p2vit.accel.claims import gpu_claims, utilization_claims
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.peers.description import load_peers
from p2vit.accel.peers.table import peer_rows
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.resolve import workload_of

DEIT = "deit_base_patch16_224"


def test_a_tenfold_t4_at_batch_1_needs_164_tops():
    first, *_ = gpu_claims([DEIT], [load_machine("paper")])
    assert (first.batch, first.gpu_ms) == (1, 2.16)
    assert first.needed_ms == pytest.approx(2.16 / 10.1)
    assert first.needed_tops == pytest.approx(164, abs=1)
    assert first.needed_mj == pytest.approx(70 * 2.16 / 36.8)


def test_what_a_machine_gives_is_what_simulate_says():
    rows = gpu_claims([DEIT], [load_machine("paper"), load_machine("fpga")])
    result = simulate(workload_of(DEIT), load_machine("paper")).result
    paper = [row for row in rows if row.machine == "paper"]
    assert [row.batch for row in paper] == [1, 32]
    assert paper[0].gives_speedup == pytest.approx(2.16 / result.latency_ms)
    assert paper[1].gives_speedup == pytest.approx(35.43 / 32 / result.latency_ms)
    assert paper[0].gives_energy_saving == pytest.approx(70 * 2.16 / result.energy_mj)
    # The energy table is an ASIC's, so an FPGA has no saving.
    assert {row.gives_energy_saving for row in rows if row.machine == "fpga"} == {None}


def test_a_model_without_published_latency_has_no_row():
    assert gpu_claims(["deit_tiny_patch16_224"], [load_machine("paper")]) == []


def test_the_largest_ratio_of_table_vii_is_the_papers_utilization_claim():
    rows = peer_rows(load_machine("fpga"), ["deit_small_patch16_224", DEIT])
    peers = {peer.published_as: peer.name for peer in load_peers() if peer.published_as}
    found = utilization_claims(rows, peers)
    seven = [row for row in found if row.source.endswith("table VII")]
    best = max(seven, key=lambda row: row.published_ratio)
    assert (best.against, best.model, round(best.published_ratio, 2)) == ("Auto-ViT-Acc fixed", DEIT, 1.84)
    mixed = [row.published_ratio for row in seven if row.against == "Auto-ViT-Acc fixed + PoT"]
    assert [round(ratio, 2) for ratio in mixed] == [1.06, 1.05]
    by_name = {(row.system, row.model): row.gops_per_dsp for row in rows}
    assert best.modelled_ratio == pytest.approx(by_name["fpga", DEIT] / by_name["auto-vit-acc-fixed", DEIT])
    assert all(row.modelled_ratio is None for row in found if "systolic" in row.against)


def test_figures_of_different_tables_are_not_divided():
    rows = peer_rows(load_machine("fpga"), ["deit_small_patch16_224"], peers=())
    found = {row.against: row.paper_gops_per_dsp for row in utilization_claims(rows, {})}
    assert found["Auto-ViT-Acc fixed"] == 0.623
    assert found["HeatViT"] == 0.923
