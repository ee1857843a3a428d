import json

import pytest

from p2vit.accel.compare import pipelining_ablation
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.published import load_published
from p2vit.workflows.compare import run_compare
from p2vit.workflows.simulate import run_simulate

DEIT, SWIN = "deit_base_patch16_224", "swin_tiny_patch4_window7_224"


@pytest.fixture
def run(p2vit):
    return lambda *arguments: p2vit("compare", *arguments)


def test_every_row_says_what_it_is_and_where_it_comes_from(run):
    answer = json.loads(run("--json").out)
    keys = {"system", "model", "bits", "latency_ms", "energy_mj", "images_per_second", "gops_per_dsp", "kind",
            "source", "ratio"}  # fmt: skip
    assert all(keys <= set(row) and row["source"] for row in answer["rows"])
    assert {row["kind"] for row in answer["rows"]} == {"published", "modelled"}
    assert {row["model"] for row in answer["rows"]} == {DEIT, SWIN, "vit_large_patch16_224"}


def test_modelled_rows_are_what_simulate_says():
    rows = run_compare([DEIT], ["server", "fpga"], weight_bits=4)["rows"]
    server, fpga = (row for row in rows if row["kind"] == "modelled")
    alone = run_simulate(DEIT, "server", weight_bits=4)
    assert (server["latency_ms"], server["energy_mj"]) == (alone["latency_ms"], alone["energy_mj"])
    assert fpga["energy_mj"] is None
    assert fpga["gops_per_dsp"] == run_simulate(DEIT, "fpga", weight_bits=4)["gops_per_dsp"]
    first = next(row for row in rows if row["kind"] == "published")
    assert server["ratio"] == pytest.approx(first["latency_ms"] / server["latency_ms"])


def test_published_latencies_are_those_of_the_guide():
    found = {(row.model, row.batch): row.batch_ms for row in load_published().latencies}
    assert found["vit_base_patch16_224", 1] == 2.16
    assert found["swin_tiny_patch4_window7_224", 32] == 16.81
    row = load_published().of(DEIT)[0]
    assert row.at_most_mj == pytest.approx(70 * 2.16)
    assert "which has the same shapes" in run_compare([DEIT], ["paper"])["rows"][0]["source"]


def test_the_ablation_is_the_machines():
    answer = run_compare([DEIT], ["rtl", "paper"])
    assert answer["ablation_on"] == "paper"
    rows = pipelining_ablation(load_machine("paper"))
    assert [row["overall"] for row in answer["ablation"]] == [row.overall for row in rows]
    assert run_compare([DEIT], ["rtl"])["ablation"] == []


def test_a_measured_gpu_is_a_row(tmp_path):
    gpu = tmp_path / "gpu.yaml"
    gpu.write_text(
        "name: Board\nprecision: float16\nsoftware: a framework\nmeasured_with: a command\n"
        f"models:\n  {DEIT}: {{batch: 8, images_per_s: 400, power_w: 60}}\n"
    )
    row = next(row for row in run_compare([DEIT], ["paper"], gpu=gpu)["rows"] if row["kind"] == "measured")
    assert row["latency_ms"] == pytest.approx(20)
    assert row["energy_mj"] == pytest.approx(150)
    assert row["source"] == "a command"


def test_a_plot_and_what_is_refused(run, tmp_path):
    plot = tmp_path / "plot.svg"
    result = run(SWIN, "--hw", "server", "--plot", str(plot))
    assert result.code == 0
    assert "source: FasterTransformer" in result.out
    assert plot.read_text().count("<rect") == 3 + 8  # latencies; `server` and seven peers beside it
    with pytest.raises(Exception, match="allow overwriting"):
        run_compare([SWIN], ["server"], plot=plot)
    with pytest.raises(Exception, match="did you mean 'paper'"):
        run_compare([SWIN], ["papr"])


def test_what_does_not_fit_says_why():
    rows = run_compare([SWIN], ["rtl"])["rows"]
    row = next(row for row in rows if row["kind"] == "modelled")
    assert row["latency_ms"] is None
    assert "does not fit: " in row["source"]


def test_peers_stand_beside_the_machine_with_dsps(run):
    answer = json.loads(run("deit_base_patch16_224", "--json").out)
    assert [row["system"] for row in answer["peers"]][:2] == ["fpga", "auto-vit-acc-fixed"]
    for row in answer["peers"]:
        assert row["source"]
        assert row["known"]
        assert row["assumed"]
    assert all(row["source"] and row["claim_source"] for row in answer["gpu_claims"])
    assert all(row["source"] for row in answer["utilization_claims"])


def test_without_a_machine_of_chunks_there_are_no_peers():
    answer = run_compare([DEIT], ["rtl"])
    assert answer["peers"] == answer["utilization_claims"] == []


def test_the_text_has_every_table(run):
    out = run(DEIT).out
    for words in (
        "organisations on deit_base_patch16_224, each with 2,560 multipliers at 200 MHz and 16 GB/s",
        "0.214 ms (164 TOPS)",
        "1.84 (",
        "pipelining ablation on paper",
        "source: Guo et al., arXiv 2407.17879 (abstract)",
    ):
        assert words in out
