import json

import pytest

from p2vit.workflows.simulate import run_simulate

TINY = "deit_tiny_patch16_224"


@pytest.fixture
def run(p2vit):
    return lambda *arguments: p2vit("simulate", *arguments)


def test_json_is_one_object_with_the_contract_keys(run):
    result = run(TINY, "--json")
    assert result.code == 0
    answer = json.loads(result.out)
    assert {"cycles", "latency_ms", "energy_mj", "utilization", "layers", "limiting", "levers"} <= set(answer)
    assert answer["modelled"] is True


def test_summary_says_clock_and_packing(run):
    text = run(TINY, "--hw", "fpga").out
    assert "2 MACs packed per DSP" in text
    assert "at 200 MHz" in text
    assert "modelled" in text


def test_pipelining_can_be_switched_off():
    both = run_simulate(TINY, "paper")["cycles"]
    assert run_simulate(TINY, "paper", inter_layer=False)["cycles"] > both
    assert run_simulate(TINY, "paper", intra_layer=False)["cycles"] > both


def test_attention_on_the_macs():
    chunks = {layer["chunk"] for layer in run_simulate(TINY, "paper", attention="uniform8")["layers"]}
    assert "shifter_array" not in chunks


def test_files_are_written_and_not_overwritten(run, tmp_path):
    files = ("--report", str(tmp_path / "r.html"), "--trace", str(tmp_path / "t.json"))
    assert run("digits", *files).code == 0
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    again = run("digits", *files)
    assert again.code == 2
    assert "exists already; choose another place, or allow overwriting (--overwrite)" in again.err
    assert run("digits", *files, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("deit_tini_patch16_224",), "did you mean 'deit_tiny_patch16_224'"),
        ((TINY, "--hw", "papr"), "did you mean 'paper'"),
        ((TINY, "--hw", "none.yaml"), "none.yaml: 1 problem"),
        (("digits", "--trace", "pyproject.toml/t.json"), "is a file, but must be a folder"),
        (("src",), "src"),
    ],
    ids=["model", "machine", "file", "output", "no program"],
)
def test_bad_input_is_one_message_and_2(run, arguments, message):
    result = run(*arguments)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""


def test_what_does_not_fit_is_1_with_levers(run, tmp_path):
    from importlib.resources import files

    text = (files("p2vit.accel.machine") / "descriptions" / "edge.yaml").read_text()
    path = tmp_path / "small.yaml"
    path.write_text(text.replace("size_bytes: 262144", "size_bytes: 2048"))
    result = run(TINY, "--hw", str(path))
    assert result.code == 1
    assert "would fit with: buffers.activation.size_bytes of at least" in result.out
    as_json = run(TINY, "--hw", str(path), "--json")
    assert as_json.code == 1
    assert json.loads(as_json.out)["fits"] is False


def test_several_models_and_machines_are_rows(run, tmp_path):
    plot = tmp_path / "plot.svg"
    pairs = ("digits", TINY, "--hw", "paper", "--hw", "fpga", "--plot", str(plot))
    answer = json.loads(run(*pairs, "--json").out)
    assert [(row["model"], row["hardware"]) for row in answer["rows"]] == [
        ("digits", "paper"), ("digits", "fpga"), (TINY, "paper"), (TINY, "fpga"),
    ]  # fmt: skip
    assert answer["rows"][2]["cycles"] == run_simulate(TINY, "paper")["cycles"]
    assert plot.read_text().count("<rect") == 4
    assert "allow overwriting (--overwrite)" in run(*pairs).err
    text = run(*pairs, "--overwrite").out
    assert "not of the FPGA" in text
    assert run(*pairs, "--overwrite", "--trace", "t.json").code == 2


def test_what_does_not_fit_is_a_row_too(run):
    result = run(TINY, "swin_tiny_patch4_window7_224", "--hw", "rtl")
    assert result.code == 1
    assert "does not fit: " in result.out


def test_figures_of_the_description_are_changed(run):
    result = run("vit_small_patch14_dinov2", "--set", "chunks.mac_array.lines=20", "--json")
    layers = {layer["name"]: layer for layer in json.loads(result.out)["layers"]}
    assert layers["blocks.0.mlp.fc1"]["lines"] == 20
    assert layers["blocks.0.attn.scores"]["lines"] == 11
    assert "accumulator buffer" in layers["blocks.0.attn.scores"]["limited_by"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("chunks.mac_array.line=20", "did you mean 'chunks.mac_array.lines'?"),
        ("chunks.mac_array.lines", "is not KEY=VALUE"),
        ("chunks.mac_array.lines=many", "should be a valid integer"),
        ("chunks.mac_array.lines=٤", "should be a valid integer"),
        ("clock_mhz=nan", "less than or equal to 5000"),
    ],
)
def test_a_change_that_means_nothing_is_refused(run, change, words):
    result = run(TINY, "--set", change)
    assert result.code == 2
    assert words in result.err


@pytest.mark.parametrize("hardware", ["paper", "fpga", "rtl"])
@pytest.mark.parametrize("bits", ["4", "8"])
def test_gops_stay_below_the_peak_beside_them(run, hardware, bits):
    answer = json.loads(run(TINY, "--hw", hardware, "--weight-bits", bits, "--json").out)
    assert answer["gops"] < answer["peak_gops"]


def test_a_batch_counts_all_its_images(run):
    one, four = (json.loads(run(TINY, "--batch", images, "--json").out) for images in ("1", "4"))
    assert (one["batch"], four["batch"], four["macs"]) == (1, 4, 4 * one["macs"])
    assert four["images_per_s"] >= one["images_per_s"]
    text = run(TINY, "--batch", "4").out
    assert f"{TINY}, 4 images on paper" in text
    assert "per image)" in text


def test_a_machine_that_runs_one_image_after_the_other_takes_no_batch(run):
    result = run(TINY, "--hw", "rtl", "--batch", "2")
    assert result.code == 2
    assert "rtl runs one image after the other" in result.err
    assert run(TINY, "--batch", "0").code == 2
