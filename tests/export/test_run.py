"""``run_export``, and the command ``p2vit export`` that calls it."""

import sys
import types

import numpy as np
import pytest

from p2vit.errors import P2vitError
from p2vit.export import run
from p2vit.export.run import ExportForm, noise_pixels, run_export
from support.meaningful import meaningful_program
from support.programs import random_pixels, random_program


def export_noise(program, *how, images=2, **more):
    return run_export(program, *how, pixels=noise_pixels(program, images), **more)


@pytest.mark.parametrize("largest", [1 << 30, 10_000], ids=["one file", "external data"])
def test_integer_export_differs_by_nothing(largest, tmp_path):
    report = export_noise(
        random_program(), "onnx-integer", tmp_path / "model.onnx", images=3, largest=largest
    )
    assert report["file"] == str(tmp_path / "model.onnx")
    assert report["opset"] == 18
    assert report["images"] == 3
    assert report["max_abs_diff"] == 0
    assert report["float_tensors"] == 0
    assert report["operators"]["MatMulInteger"] == 20
    assert len(report["files"]) == (1 if largest > 10_000 else 2)


def test_qdq_export_tells_its_difference(tmp_path):
    program = meaningful_program()
    report = run_export(program, "onnx-qdq", tmp_path / "model.onnx", pixels=random_pixels(program, 4))
    assert report["opset"] == 17
    assert 0 < report["max_abs_diff"] < 0.5
    assert report["float_tensors"] > 0


def test_vectors_have_no_opset(tmp_path):
    report = export_noise(
        random_program(depth=1), "vectors", tmp_path / "vectors", ExportForm(encoding="hex")
    )
    assert report["opset"] is None
    assert report["max_abs_diff"] is None
    assert (tmp_path / "vectors" / "manifest.json").is_file()


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(
        P2vitError, match=r"^format is 'tflite'; allowed are onnx-integer, onnx-qdq, c, web, vectors$"
    ):
        export_noise(random_program(), "tflite", tmp_path / "model")


def test_a_machine_whose_products_are_not_exact_writes_no_model(monkeypatch, tmp_path):
    def refuse(form):
        raise P2vitError("not exact")

    monkeypatch.setattr(run, "exact_products", refuse)
    with pytest.raises(P2vitError, match="not exact"):
        export_noise(random_program(), "onnx-integer", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def command(p2vit, monkeypatch):
    """Run the command on a random program that is not on disk."""
    module = types.ModuleType("p2vit.program.format")
    module.load = lambda folder: meaningful_program(depth=1)
    module.program_sha256 = lambda program: "ef" * 32
    monkeypatch.setitem(sys.modules, "p2vit.program.format", module)
    return lambda *arguments: p2vit("export", "PROGRAM", *arguments)


def test_the_command_prints_one_json_object(command, tmp_path):
    done = command("--format", "onnx-integer", "-o", tmp_path / "model.onnx", "--json")
    assert done.code == 0, done.err
    report = done.json
    assert {"file", "opset", "max_abs_diff"} <= set(report)
    assert report["max_abs_diff"] == 0


def test_the_command_prints_a_sentence(command, tmp_path):
    done = command("--format", "onnx-qdq", "-o", tmp_path / "model.onnx")
    assert "model.onnx (opset 17, " in done.out
    assert " real units, 2 images" in done.out
    done = command("--format", "vectors", "-o", tmp_path / "vectors", "--images", 1)
    assert "every tensor of 1 images" in done.out


def test_the_command_takes_photos(command, monkeypatch, tmp_path):
    class Photos:
        def __init__(self, data, preprocessing):
            assert data == "digits"

        def evaluation(self, limit):
            yield np.zeros((limit, 8, 12, 3), np.uint8), np.zeros(limit)

    module = types.ModuleType("p2vit.data.benchmarks")
    module.open_photos = Photos
    monkeypatch.setitem(sys.modules, "p2vit.data.benchmarks", module)
    options = ["--data", "digits", "--images", 3, "--json"]
    done = command("--format", "onnx-integer", "-o", tmp_path / "model.onnx", *options)
    assert done.json["images"] == 3


def test_a_difference_of_the_integers_is_a_failed_check(command, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "largest_difference", lambda *arguments: 3)
    done = command("--format", "onnx-integer", "-o", tmp_path / "model.onnx", "--json")
    assert done.code == 1
    assert done.json["max_abs_diff"] == 3


def test_expose_is_for_graphs_of_integers(tmp_path):
    with pytest.raises(
        P2vitError, match=r"^expose needs the format onnx-integer, not onnx-qdq\. Omit expose, or choose"
    ):
        export_noise(random_program(), "onnx-qdq", tmp_path / "model.onnx", ExportForm(expose=("head",)))
    assert not list(tmp_path.iterdir())


def test_the_help_names_formats_and_options(command):
    text = command("--help").out
    assert "[onnx-integer|onnx-qdq|c|web|vectors]" in text
    for option in (
        "--products",
        "--expose",
        "--quantize-probabilities",
        "--encoding",
        "--overwrite",
        "--json",
    ):
        assert option in text
