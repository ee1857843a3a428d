"""The table and the picture of docs/architecture.md are the linter's layers."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("architecture", ROOT / "scripts" / "architecture.py")
SCRIPT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SCRIPT)


def test_the_table_is_the_linters():
    text = SCRIPT.PAGE.read_text("utf-8")
    assert SCRIPT.with_table(text) == text, "python scripts/architecture.py"


def test_the_picture_is_the_linters():
    assert SCRIPT.PICTURE.read_text("utf-8") == SCRIPT.picture(), "python scripts/architecture.py"


def test_every_package_has_a_layer():
    named = [name for layer in SCRIPT.layers() for name in layer]
    below = {"files"}  # below all layers
    there = {path.parent.name for path in (ROOT / "src" / "p2vit").glob("*/__init__.py")}
    assert set(named) == there - below
    assert len(named) == len(set(named))


def test_the_readme_leads_to_the_table():
    assert "(docs/architecture.md)" in (ROOT / "README.md").read_text("utf-8")
