import json
from pathlib import Path

import pytest

from p2vit.accel.compare import PAPER_ABLATION, against_gpu, gops_per_dsp, pipelining_ablation
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.problems import AccelError

RESULTS = Path(__file__).parents[2] / "results"
GPU = """
format: 1
name: a GPU
precision: float16
software: some framework 1.0
measured_with: a script
models:
  deit_small_patch16_224: {batch: 8, images_per_s: 1000, power_w: 70}
"""


def test_ablation_is_within_10_percent_of_the_paper_on_deit_small():
    for row in pipelining_ablation(load_machine("paper"), ("deit_small_patch16_224",)):
        assert abs(row.deviation) <= 0.10


def test_ablation_by_events_is_the_same():
    closed, events = (
        pipelining_ablation(load_machine("paper"), ("deit_small_patch16_224",), method)
        for method in ("closed_form", "events")
    )
    for one, other in zip(closed, events, strict=True):
        assert other.overall == pytest.approx(one.overall, rel=0.01)


def test_excess_falls_with_the_width_of_the_model():
    rows = pipelining_ablation(load_machine("paper"))
    for setting in list(PAPER_ABLATION)[:3]:
        tiny, small, base = (row.overall for row in rows if (row.inter_layer, row.intra_layer) == setting)
        assert tiny > small > base > 1


def test_gops_per_dsp_states_clock_and_packing():
    for row in gops_per_dsp(load_machine("fpga")):
        assert (row.clock_mhz, row.macs_per_dsp) == (200, 2)
        assert row.utilization >= 0.9
        for match, figure in zip(row.clock_to_match_mhz, row.paper, strict=True):
            assert row.gops_per_dsp * match / row.clock_mhz == pytest.approx(figure)


def test_gops_per_dsp_needs_dsps():
    with pytest.raises(ValueError, match="paper is not counted in DSPs"):
        gops_per_dsp(load_machine("paper"))


def test_against_a_gpu(tmp_path):
    path = tmp_path / "gpu.yaml"
    path.write_text(GPU)
    gpu, (row,) = against_gpu(load_machine("paper"), path)
    assert gpu.name == "a GPU"
    assert row.gpu_mj_per_image == pytest.approx(70)
    assert row.speedup == pytest.approx(0.142, rel=0.02)


def test_a_model_may_have_several_measurements(tmp_path):
    path = tmp_path / "gpu.yaml"
    several = "[{batch: 1, images_per_s: 500, power_w: 70}, "
    several += "{precision: int8, batch: 8, images_per_s: 100, power_w: 50}]"
    path.write_text(GPU.replace("{batch: 8, images_per_s: 1000, power_w: 70}", several))
    _, rows = against_gpu(load_machine("paper"), path)
    assert [(row.precision, row.batch, row.gpu_mj_per_image) for row in rows] == [
        ("float16", 1, pytest.approx(140)),
        ("int8", 8, pytest.approx(500)),
    ]


def test_the_shipped_measurements_are_those_of_the_results():
    """results/gpu.yaml is made from results/gpu.json."""
    found = json.loads((RESULTS / "gpu.json").read_text())
    gpu, rows = against_gpu(load_machine("paper"), RESULTS / "gpu.yaml")
    assert gpu.name == found["machine"]["gpu"]
    assert len(rows) == len(found["energy"])
    joules = {
        (each["model"], each["kind"], each["batch"]): each["joules_per_image"] for each in found["energy"]
    }
    for row in rows:
        kind = row.precision.split(",")[0].replace("p2vit integers", "integer")
        assert row.gpu_mj_per_image == pytest.approx(1e3 * joules[row.model, kind, row.batch], rel=1e-3)
    assert sum(each["mismatches"] for each in found["verified"]) == 0
    assert sum(each.get("wrong_logits", 0) for each in found["rows"]) == 0


def test_wrong_gpu_file(tmp_path):
    path = tmp_path / "gpu.yaml"
    path.write_text(GPU.replace("power_w: 70", "power_w: 0"))
    with pytest.raises(AccelError, match=r"line 8: models\.deit_small_patch16_224\.0\.power_w"):
        against_gpu(load_machine("paper"), path)
