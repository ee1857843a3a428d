"""The pages docs/how-to/python.md and python.ipynb are the same and run, and so does the Python of the README."""

import importlib.util
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = script("python_notebook")
PAGE = BUILD.PAGE.read_text(encoding="utf-8")


@pytest.mark.extended
def test_the_page_runs(timm, transformers, tmp_path, monkeypatch, recwarn):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in BUILD.BLOCK.finditer(PAGE):
        # The padding makes a traceback show the page's own line numbers.
        padding = "\n" * PAGE[: block.start(1)].count("\n")
        exec(compile(padding + block.group(1), str(BUILD.PAGE), "exec"), namespace)
    assert (tmp_path / "out.html").is_file()
    assert len(namespace["paths"]) == 24


def test_every_block_of_the_page_is_a_cell():
    assert PAGE.count("```python\n") == sum(kind == "code" for kind, _ in BUILD.cells(PAGE)) >= 12


def test_the_notebook_is_the_page():
    assert BUILD.NOTEBOOK.read_text(encoding="utf-8") == BUILD.notebook(PAGE), (
        "python scripts/python_notebook.py"
    )


@pytest.mark.extended
def test_the_notebook_runs_and_shows_tables(timm, transformers, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]))
    whole = nbformat.read(BUILD.NOTEBOOK, as_version=4)
    nbformat.validate(whole)
    prelude = "from support.torchvision_operators import define\nkept = define()"
    whole.cells.insert(0, nbformat.v4.new_code_cell(prelude))
    client = nbclient.NotebookClient(whole, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = [
        output["data"]["text/html"]
        for cell in whole.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    assert any("Integer program" in html for html in shown)
    assert not any("http" in html or "<script" in html for html in shown)


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    pytest.importorskip("onnxruntime")
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (9, 9)).save("photo.png")
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert Path("digits.onnx").is_file()


def test_the_python_of_the_accelerators_page_runs():
    page = ROOT / "docs" / "explanation" / "accelerator.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, str(page), "exec"), {})


def test_the_python_of_the_native_engines_page_runs(digits_program):
    native = pytest.importorskip("p2vit.engine.native")
    if not native.status()["available"]:
        pytest.skip("the native engine is not built")
    from p2vit.program.format import load

    program = load(digits_program)
    namespace = {"program": program, "pixels": np.zeros((2, *program.pixels.shape), np.uint8)}
    page = ROOT / "docs" / "explanation" / "native.md"
    [block] = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    exec(compile(block, str(page), "exec"), namespace)


def test_the_notebook_has_no_outputs():
    cells = json.loads(BUILD.NOTEBOOK.read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
