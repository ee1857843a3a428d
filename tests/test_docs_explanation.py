"""The explanations run from top to bottom, and their pictures are what the script draws."""

import importlib.util
from pathlib import Path

import pytest

from support.pages import run_page

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "explanation").glob("*.md"))
SPEC = importlib.util.spec_from_file_location("pictures", ROOT / "scripts" / "pictures.py")
SCRIPT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SCRIPT)


@pytest.mark.parametrize("name", ["scales", "decibels", "softmax", "rows"])
def test_the_page_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_page(ROOT / "docs" / "explanation" / f"{name}.md", capsys)


@pytest.mark.parametrize("name", SCRIPT.PICTURES)
def test_the_picture_is_what_the_script_draws(name):
    drawn = SCRIPT.PICTURES[name]()
    assert (SCRIPT.IMAGES / f"{name}.svg").read_text(encoding="utf-8") == drawn, "python scripts/pictures.py"


def test_every_picture_is_shown():
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    for path in (ROOT / "docs" / "images").rglob("*.svg"):
        assert f"{path.relative_to(ROOT / 'docs' / 'images')}" in pages, path.name
