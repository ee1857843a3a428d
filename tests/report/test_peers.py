"""Quoted figures say whose they are, and what results/README.md states is what results/ holds."""

import json
import re
from pathlib import Path

import pytest

from p2vit.report.peers import FLOAT_THERE, PEERS, peers_of

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (`[a-z]+`.*?)\(`([\w/.-]+\.json)`\) \|(.*)\|$", re.MULTILINE)


def rows():
    page = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    table = page.split("## Accuracy")[1].split("\n\nSeconds were")[0]
    return [(file, [cell.strip() for cell in rest.split("|")]) for _, file, rest in ROW.findall(table)]


def candidates(value):
    """Every object in a result."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from candidates(item)
    elif isinstance(value, list):
        for item in value:
            yield from candidates(item)


def test_the_table_names_its_files():
    assert len(rows()) == 7


@pytest.mark.parametrize(("file", "cells"), rows())
def test_the_table_states_what_was_measured(file, cells):
    _, top1, top1_float, agreement, sqnr = (re.sub(r" (%|dB)$", "", cell) for cell in cells[:5])
    found = list(candidates(json.loads((ROOT / "results" / file).read_text(encoding="utf-8"))))
    told = {
        tuple(f"{each[key]:.2f}" for key in ("top1", "top1_float", "agreement", "sqnr_db"))
        for each in found
        if all(
            isinstance(each.get(key), int | float) for key in ("top1", "top1_float", "agreement", "sqnr_db")
        )
    }
    assert (top1, top1_float, agreement, sqnr) in told


@pytest.mark.parametrize("data", PEERS)
def test_nobody_elses_float_model_stands_for_ours(data):
    assert not any("float32" in row["name"] for row in PEERS[data])
    assert f"the float model there: {FLOAT_THERE[data]:.2f} %" in peers_of(data)["label"]


def test_of_other_photos_nothing_is_known():
    assert peers_of("photos")["rows"] == []


def test_no_page_has_figures_of_other_tools_of_its_own():
    """They are in `PEERS` and nowhere else, so that a report and a page cannot state different ones."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for row in (row for rows in PEERS.values() for row in rows if row["sqnr_db"] is not None):
        figures = f"{row['top1']:.2f} % | {row['agreement']:.1f} %"
        assert not any(figures in page.read_text(encoding="utf-8") for page in pages)
