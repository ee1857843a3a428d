"""The whole path on the benchmark ``digits``, as users walk it."""

import hashlib
import json
import shutil

import pytest

KEYS = {
    "quantize": {"seconds", "calibration_images", "program_sha256", "skipped", "blocks"},
    "eval": {"images", "top1", "top5", "top1_float", "agreement", "sqnr_db", "per_class", "skipped"},
    "audit": {"float_ops", "non_pot_scales", "max_accumulator_bits", "ops"},
}


def test_quantize(p2vit, digits_program, tmp_path):
    answer = p2vit(
        "quantize", "digits", "--data", "digits", "-o", tmp_path / "p", "--calib-images", 16, "--json"
    )
    assert answer.code == 0
    assert KEYS["quantize"] <= set(answer.json)
    assert answer.json["calibration_images"] == 16
    assert [row["name"] for row in answer.json["blocks"]] == ["embedding", "blocks.0", "blocks.1", "blocks.2"]
    notes = json.loads((tmp_path / "p" / "sensitivity.json").read_text())
    assert notes["blocks"] == answer.json["blocks"]
    assert (tmp_path / "p" / "sensitivity.svg").read_text().startswith("<svg")


def test_the_same_seed_gives_the_same_program_with_other_threads(p2vit, tmp_path):
    hashes, files = set(), set()
    for place, threads in enumerate((1, 3, 1)):
        folder = tmp_path / str(place)
        arguments = ("--calib-images", 16, "--seed", 5, "--threads", threads, "--json")
        hashes.add(
            p2vit("quantize", "digits", "--data", "digits", "-o", folder, *arguments).json["program_sha256"]
        )
        files.add(hashlib.sha256((folder / "tensors.safetensors").read_bytes()).hexdigest())
    assert len(hashes) == len(files) == 1


def test_another_seed_draws_other_photos(p2vit, digits_program, tmp_path):
    other = p2vit("quantize", "digits", "--data", "digits", "-o", tmp_path / "p", "--seed", 1, "--json", "-q")
    assert other.json["program_sha256"] != p2vit("audit", digits_program, "--json").json["program_sha256"]
    assert other.err == ""


def test_eval(p2vit, digits_program):
    answer = p2vit("eval", digits_program, "--data", "digits", "--threads", 2, "--json")
    found = answer.json
    assert KEYS["eval"] <= set(found)
    assert found["images"] == 899
    assert abs(found["top1"] - found["top1_float"]) <= 0.3
    assert found["agreement"] > 99
    assert found["sqnr_db"] > 20
    assert sum(row["images"] for row in found["per_class"]) == 899
    assert sum(map(sum, found["confusion"])) == 899


def test_eval_does_not_depend_on_batches_and_threads(p2vit, digits_program):
    common = ("eval", digits_program, "--data", "digits", "--limit", 50, "--json")
    one = p2vit(*common, "--threads", 1, "--batch", 50).json
    many = p2vit(*common, "--threads", 3, "--batch", 7).json
    for key in ("images", "top1", "top5", "agreement", "confusion"):
        assert one[key] == many[key]
    assert one["sqnr_db"] == pytest.approx(many["sqnr_db"], abs=0.01)


def test_eval_for_people_says_how_far_chance_reaches(p2vit, digits_program):
    common = ("eval", digits_program, "--data", "digits", "--limit", 60)
    found, text = p2vit(*common, "--json").json, p2vit(*common).out
    for key in ("top1", "top1_float", "agreement"):
        low, high = found[f"{key}_interval"]
        assert low < found[key] <= high
        assert f"[{low:.2f}, {high:.2f}]" in text
    assert f"p = {found['mcnemar']['p_value']:.3g}" in text


def test_eval_for_people(p2vit, digits_program):
    answer = p2vit("eval", digits_program, "--data", "digits", "--limit", 20, "--no-float")
    assert "top-1" in answer.out
    assert "note: no float model" in answer.out


def test_eval_on_a_folder(p2vit, digits_program, photo_folder):
    found = p2vit("eval", digits_program, "--data", photo_folder, "--json").json
    assert found["images"] == 20
    assert [row["name"] for row in found["per_class"]] == [str(digit) for digit in range(10)]


def test_eval_on_photos_without_labels(p2vit, digits_program):
    found = p2vit("eval", digits_program, "--data", "noise", "--limit", 16, "--json").json
    assert found["top1"] is None
    assert found["agreement"] is not None
    assert "no labels" in found["notes"][0]


def test_eval_without_torch_says_what_is_missing(p2vit, digits_program, monkeypatch):
    monkeypatch.setattr("p2vit.workflows.evaluate.has_torch", lambda: False)
    arguments = ("--data", "digits", "--limit", 4, "--backend", "reference", "--json")
    found = p2vit("eval", digits_program, *arguments).json
    assert found["top1"] is not None
    assert found["top1_float"] is found["sqnr_db"] is None
    assert "pip install 'p2vit[quant]'" in found["notes"][0]


def test_audit(p2vit, digits_program):
    answer = p2vit("audit", digits_program, "--json")
    assert answer.code == 0
    assert KEYS["audit"] <= set(answer.json)
    assert answer.json["float_ops"] == answer.json["non_pot_scales"] == 0
    assert answer.json["max_accumulator_bits"] <= 32
    assert "passed" in p2vit("audit", digits_program).out


def test_audit_that_fails_exits_with_1(p2vit, digits_program, monkeypatch):
    from p2vit.program import audit

    true = audit.audit
    false = lambda program: true(program).model_copy(update={"float_ops": 1, "problems": ["head: a float"]})  # noqa: E731
    monkeypatch.setattr(audit, "audit", false)
    answer = p2vit("audit", digits_program, "--json")
    assert (answer.code, answer.json["passed"]) == (1, False)
    assert "FAILED" in p2vit("audit", digits_program).out


def test_inspect(p2vit, digits_program):
    found = p2vit("inspect", digits_program, "--json").json
    assert found["provenance"]["source"] == "digits"
    assert found["class_names"][3] == "3"
    people = p2vit("inspect", digits_program).out
    assert "blocks.2.mlp.fc1" in people
    assert "norm1" not in people
    assert "norm1" in p2vit("inspect", digits_program, "--all").out


def test_verify(p2vit, digits_program):
    answer = p2vit("verify", digits_program, "--images", 8, "--json")
    assert answer.code == 0
    assert answer.json["mismatches"] == 0
    assert answer.json["tensors_compared"] >= 40
    assert answer.json["backends"] == ["reference", "torch"]
    assert answer.json["images"] == 8


def test_verify_finds_a_wrong_number(p2vit, digits_program, monkeypatch):
    from p2vit.engine.torch.executor import TorchExecutor

    true = TorchExecutor.store

    def wrong(self, value):
        array = true(self, value)
        if array.shape[-1] == 10:
            array[1, 0, 3] += 7
        return array

    monkeypatch.setattr(TorchExecutor, "store", wrong)
    answer = p2vit("verify", digits_program, "--images", 2, "--json")
    assert (answer.code, answer.json["mismatches"]) == (1, 1)
    row = answer.json["first_mismatches"][0]
    assert (row["tensor"], row["index"], row["differing"]) == ("head", [1, 0, 3], 1)
    assert row["actual"] == row["expected"] + 7
    assert "1 TENSORS DIFFER" in p2vit("verify", digits_program, "--images", 2).out


def test_run(p2vit, digits_program, photo_folder):
    photo = photo_folder / "3" / "0.png"
    answer = p2vit("run", digits_program, photo, photo_folder / "4", "--json")
    rows = answer.json["outputs"]
    assert [row["file"] for row in rows] == [
        str(photo),
        *(str(photo_folder / "4" / f"{i}.png") for i in range(2)),
    ]
    for row in rows:
        assert len(row["logits"]) == 10
        assert all(isinstance(value, int) for value in row["logits"])
        assert row["label"] == str(row["logits"].index(max(row["logits"])))
    one = p2vit("run", digits_program, photo, "--backend", "reference", "--json").json
    assert one["outputs"][0] == rows[0]


def test_report(p2vit, digits_program, tmp_path):
    page = tmp_path / "r.html"
    answer = p2vit("report", digits_program, "-o", page, "--data", "digits", "--limit", 40, "--json")
    assert answer.json["file"] == str(page)
    text = page.read_text()
    assert "Confusion matrix" in text
    assert "<svg" in text
    assert json.loads((tmp_path / "r.json").read_text())["program_sha256"] in text


def test_report_from_an_evaluation(p2vit, digits_program, tmp_path, monkeypatch):
    evaluation = tmp_path / "eval.json"
    evaluation.write_text(p2vit("eval", digits_program, "--data", "digits", "--limit", 20, "--json").out)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    page, found = tmp_path / "a.html", []
    for _ in range(2):
        assert p2vit("report", digits_program, "-o", page, "--eval", evaluation, "--overwrite").code == 0
        found.append(page.read_bytes())
    assert found[0] == found[1]
    assert b"2023-11-14" in found[0]
    assert b"made by" in found[0]


def test_report_names_the_photos_that_differ_most(p2vit, digits_program, tmp_path):
    words = ("report", digits_program, "--data", "digits", "--limit", 40)
    named = p2vit(*words, "-o", tmp_path / "named.html", "--json").json
    rows = named["evaluation"]["most_different"]
    assert len(rows) == 12
    assert named["thumbnails"] == []
    assert named["speed"]["ms"] > 0
    assert named["speed"]["ms_float"] > 0
    assert named["sizes"]["float_weight_bytes"] == 4 * named["sizes"]["weight_bytes"]  # w8a8
    text = (tmp_path / "named.html").read_text()
    assert rows[0]["photo"] in text
    assert "<img" not in text
    shown = p2vit(*words, "-o", tmp_path / "shown.html", "--thumbnails", "--json").json
    assert len(shown["thumbnails"]) == 12
    assert (tmp_path / "shown.html").read_text().count('<img src="data:image/png;base64,') == 12


def test_thumbnails_need_photos(p2vit, digits_program, tmp_path):
    answer = p2vit("report", digits_program, "-o", tmp_path / "r.html", "--thumbnails")
    assert answer.code == 2
    assert "add --data DIR" in answer.err


def test_demo(p2vit, tmp_path):
    answer = p2vit("demo", "--benchmark", "digits", "-o", tmp_path / "d", "--limit", 100, "--json")
    assert answer.code == 0
    summary = json.loads((tmp_path / "d" / "summary.json").read_text())
    assert summary == answer.json
    for keys in KEYS.values():
        assert keys <= set(summary)
    assert summary["float_ops"] == summary["non_pot_scales"] == 0
    assert "From the pixels to the logits nothing is float" in (tmp_path / "d" / "report.html").read_text()
    again = p2vit("demo", "--benchmark", "digits", "-o", tmp_path / "d")
    assert again.code == 2
    assert "exists already; choose another place, or allow overwriting (--overwrite)" in again.err


def test_ablate(p2vit, tmp_path):
    arguments = ("--data", "digits", "-o", tmp_path, "--limit", 50, "--calib-images", 8, "--json")
    answer = p2vit(
        "ablate", "digits", *arguments, "--row", "p2vit-log2", "--row", "naive-", "--row", "offsets"
    )
    rows = {row["name"]: row for row in answer.json["rows"]}
    assert list(rows) == [
        "p2vit-log2", "naive-ceil", "naive-floor", "naive-nearest", "naive-float", "without GELU offsets",
    ]  # fmt: skip
    assert rows["p2vit-log2"]["integer"]
    assert not rows["naive-floor"]["integer"]
    assert rows["naive-floor"]["sqnr_db"] < rows["p2vit-log2"]["sqnr_db"]
    table = (tmp_path / "ablation.md").read_text()
    assert "| naive-floor | simulated |" in table
    assert "Made by `p2vit ablate digits --data digits" in table
    assert (tmp_path / "ablation.svg").read_text().startswith("<svg")


def test_list(p2vit):
    found = p2vit("list", "deit_tiny_p*", "--json").json
    assert [row["name"] for row in found["architectures"]] == ["deit_tiny_patch16_224"]
    assert {"elpv", "textile", "digits", "noise"} <= set(found["photo_sets"])
    assert "paper" in found["methods"]
    assert "hf:ORG/NAME" in p2vit("list").out


def test_list_knows_the_benchmarks_models():
    benchmark = pytest.importorskip("p2vit.models.sources.benchmark")
    from p2vit.workflows.listing import BENCHMARK_MODELS

    assert set(BENCHMARK_MODELS) == set(benchmark.MODELS)


def test_doctor(p2vit):
    answer = p2vit("doctor", "--json")
    assert answer.code == 0
    rows = {row["name"]: row for row in answer.json["backends"]}
    assert rows["reference"]["identical"]
    assert rows["torch"]["identical"]
    assert "Back-ends:" in p2vit("doctor").out


def test_a_program_survives_being_moved(p2vit, digits_program, tmp_path):
    shutil.copytree(digits_program, tmp_path / "elsewhere")
    assert p2vit("audit", tmp_path / "elsewhere").code == 0
