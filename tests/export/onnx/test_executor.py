"""The ONNX executor, models too large for one file, and missing optional packages."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.export.onnx import executor as run_onnx
from p2vit.export.onnx import runtimes
from p2vit.export.onnx.common.model_file import save_model
from p2vit.export.onnx.executor import OnnxExecutor, exact_products
from p2vit.export.onnx.integer.build import LOGITS, build_onnx_integer
from p2vit.export.onnx.runtimes import open_session
from p2vit.program.graph import PIXELS
from support.programs import random_pixels, random_program


def test_it_answers_like_the_reference_executor():
    program = random_program()
    pixels = random_pixels(program, 3)
    onnx, reference = OnnxExecutor(program, threads=1), ReferenceExecutor(program)
    assert onnx.name == "onnx"
    for keep in ((), ["blocks.1.norm2", "patches"], list(program.tensors)):
        expected, found = reference.run(pixels, keep), onnx.run(pixels, keep)
        assert set(found) == set(expected)
        for name, array in expected.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)
    np.testing.assert_array_equal(onnx.logits(pixels), reference.logits(pixels))
    assert onnx.logits(pixels).shape == (3, 5)


def test_wrong_pixels_are_named():
    executor = OnnxExecutor(random_program())
    with pytest.raises(
        ValueError, match=r"^pixels are float64 \[1, 8, 12, 3\]; expected uint8 \[batch, 8, 12, 3\]$"
    ):
        executor.run(np.zeros((1, 8, 12, 3)))


def test_the_fastest_exact_form_is_used(monkeypatch):
    monkeypatch.setattr(run_onnx, "products_are_exact", lambda form: form == "portable")
    assert exact_products() == "portable"
    with pytest.raises(P2vitError, match=r"form 'vnni' exactly on this CPU; use products='portable'$"):
        exact_products("vnni")
    monkeypatch.setattr(run_onnx, "products_are_exact", lambda form: False)
    with pytest.raises(
        P2vitError, match=r"form 'vnni' or 'portable' exactly on this CPU; use another back-end"
    ):
        exact_products()


@pytest.mark.parametrize("module", ["onnx", "onnxruntime"])
def test_a_missing_package_names_the_extra(module, monkeypatch):
    original = importlib.import_module

    def without(name, *args):
        if name.split(".")[0] == module:
            raise ImportError(f"No module named {module!r}")
        return original(name, *args)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(P2vitError, match=rf"^{module} is not installed, .* pip install 'p2vit\[onnx\]'$"):
        OnnxExecutor(random_program())


def test_importing_the_exporters_needs_no_optional_package():
    optional = {"torch", "onnx", "onnxruntime", "openvino"}
    code = f"import sys, p2vit.export.run; print(*{optional} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_large_models_keep_their_weights_beside_them(tmp_path):
    program = random_program()
    model = build_onnx_integer(program)
    pixels = random_pixels(program, 2)
    single, split = tmp_path / "single.onnx", tmp_path / "split.onnx"
    assert save_model(model, single) == [single]
    files = save_model(model, split, largest=10_000)
    assert files == [split, tmp_path / "split.onnx.data"]
    assert split.stat().st_size < single.stat().st_size
    expected = ReferenceExecutor(program).logits(pixels)
    for file in (single, split):
        np.testing.assert_array_equal(open_session(file).run([LOGITS], {PIXELS: pixels})[0], expected)
    again = tmp_path / "again"
    again.mkdir()
    save_model(model, again / "split.onnx", largest=10_000)
    for file in files:
        assert (again / file.name).read_bytes() == file.read_bytes()


def test_a_session_of_a_large_model_goes_through_a_file(monkeypatch):
    program = random_program()
    monkeypatch.setattr(runtimes, "LARGEST_SINGLE_FILE", 10_000)
    pixels = random_pixels(program, 2)
    np.testing.assert_array_equal(
        OnnxExecutor(program).logits(pixels), ReferenceExecutor(program).logits(pixels)
    )


def test_files_are_not_overwritten_unasked(tmp_path):
    model = build_onnx_integer(random_program(depth=1))
    file = tmp_path / "model.onnx"
    save_model(model, file)
    with pytest.raises(
        P2vitError, match=r"model\.onnx: exists already; choose another place, or allow overwriting"
    ):
        save_model(model, file)
    save_model(model, file, overwrite=True)
    file.write_bytes(b"mine")
    with pytest.raises(
        P2vitError, match=r"model\.onnx: was changed after p2vit wrote it, so it is not overwritten"
    ):
        save_model(model, file, overwrite=True)
    assert file.read_bytes() == b"mine"
    with pytest.raises(P2vitError, match=r"model\.onnx is a file, but must be a folder"):
        save_model(model, file / "model.onnx")
