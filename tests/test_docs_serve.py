"""docs/how-to/serve.md runs from top to bottom, and the Dockerfile copies what is there."""

import re
import shutil
from pathlib import Path

import pytest

from support.pages import run_page

ROOT = Path(__file__).parent.parent


def test_the_page_runs(digits_program, tmp_path, monkeypatch, capsys):
    pytest.importorskip("starlette")
    pytest.importorskip("httpx")
    pytest.importorskip("prometheus_client")
    shutil.copytree(digits_program, tmp_path / "out" / "digits")
    monkeypatch.chdir(tmp_path)
    found = run_page(ROOT / "docs" / "how-to" / "serve.md", capsys)
    assert found["same"] is True
    assert len(found["answer"]["outputs"]) == 1


def test_the_container_is_built_from_files_that_exist():
    text = (ROOT / "Dockerfile").read_text("utf-8")
    sources = [
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert sources
    allowed = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in allowed, source
    assert '"serve", "/program"' in text
