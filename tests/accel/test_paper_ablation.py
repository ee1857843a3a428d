import pytest

from p2vit.accel.compare import PAPER_ABLATION
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.paper_ablation import ablation_by_width, exposures, possible_overall
from p2vit.accel.workload.resolve import workload_of

PAPER = load_machine("paper")


def test_the_papers_intra_only_row_is_no_mean_of_its_parts():
    low, high = possible_overall((False, True))
    overall = PAPER_ABLATION[(False, True)][2]
    assert not low <= overall <= high
    for setting in [(False, False), (True, False), (True, True)]:
        low, high = possible_overall(setting)
        assert low <= PAPER_ABLATION[setting][2] <= high


def test_excess_times_width_is_nearly_constant():
    rows = ablation_by_width(PAPER, (192, 384, 768))
    for name in ("neither", "inter_only", "intra_only"):
        products = [(getattr(row, name) - 1) * row.dim for row in rows]
        assert max(products) / min(products) < 1.25


def test_exposures_of_deit_small():
    attention, mlp = exposures(PAPER, workload_of("deit_small_patch16_224"))
    assert mlp.softmax_and_values == 0
    assert mlp.norm_and_add == pytest.approx(0.15, abs=0.01)
    assert attention.softmax_and_values == pytest.approx(0.45, abs=0.05)
