"""What README.md and results/README.md show of outputs and figures: the commands print it, and results/ holds it."""

import json
import re
from pathlib import Path

import pytest

from p2vit.cli.main import run
from support.pages import blocks, check_output

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
FIRST_STEPS = (ROOT / "docs" / "tutorials" / "first-steps.md").read_text(encoding="utf-8")
RESULTS = ROOT / "results"


def test_the_two_commands_of_the_readme_print_what_is_shown(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    commands, shown = blocks(ROOT / "README.md")[:2]
    assert [words[0] for words in commands.commands] == ["make", ".venv/bin/p2vit"]
    monkeypatch.chdir(tmp_path)
    assert run(commands.commands[1][1:]) == 0
    check_output(shown.text, capsys.readouterr().out, "README.md")


def test_the_readme_is_one_screen():
    assert len(README.splitlines()) <= 62


def figures(path: str) -> dict[str, object]:
    """What a file of results/ says; of the front of searches, its mix of 4 and 8 bits at 6.0 on average."""
    found = json.loads((RESULTS / path).read_text(encoding="utf-8"))
    if path == "search/front-elpv.json":
        [row] = [row for row in found["rows"] if row["budget"] == 6.0 and row["widths"] == "4/8"]
        [found] = [each for each in found["programs"] if each["bits"] == row["bits"]]
    return found


def rows() -> list[list[str]]:
    table = TABLE.split("| benchmark | bits |")[1].split("\n\n")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if "json`" in line
    ]


@pytest.mark.parametrize("row", rows(), ids=lambda row: re.search(r"`([^`]+\.json)`", row[0]).group(1))
def test_each_row_of_the_table_is_what_was_measured(row):
    name, _, top1, top1_float, agreement, sqnr, seconds, _ = row
    found = figures(re.search(r"`([^`]+\.json)`", name).group(1))
    shown = (f"{top1} {top1_float} {agreement} {sqnr}").replace(" %", "").replace(" dB", "").split()
    assert [float(each) for each in shown] == [
        found[key] for key in ("top1", "top1_float", "agreement", "sqnr_db")
    ]
    if seconds.endswith("core-s"):
        assert round(found["core_seconds"]) == int(seconds.split()[0])
    elif seconds.startswith("<"):
        assert found["seconds"] < int(seconds.split()[1])
    elif seconds.isdigit():
        assert round(found["seconds"]) == int(seconds)
    else:
        assert "seconds" not in found


def test_the_table_has_rows():
    assert len(rows()) >= 7


def short_row(row: list[str]) -> str:
    """A row of the README's table, from a row of results/README.md."""
    name, bits, top1, top1_float, agreement, sqnr, seconds, _ = row
    name = re.search(r"`\w+`", name).group(0)
    bits = bits.split(",")[0]
    return f"{name}, DINOv2 ViT-S/14 | {bits} | {top1} | {top1_float} | {agreement} | {sqnr} | {seconds} |"


def test_the_readmes_table_is_part_of_the_measured_one():
    part = README.split("| benchmark, model | bits |")[1].split("\n\n")[0]
    shown = [line.removeprefix("| ") for line in part.splitlines() if "DINOv2" in line]
    shown = [line.replace("[`elpv`](results/README.md)", "`elpv`") for line in shown]
    assert len(shown) == 3
    assert set(shown) <= {short_row(row) for row in rows()}


def test_the_demos_output_is_what_was_measured():
    from p2vit.cli.verbs.demo import describe

    found = json.loads((RESULTS / "elpv-w8a8.json").read_text(encoding="utf-8"))
    places = {"program": "out/demo/program", "report": "out/demo/report.html"}
    assert f"```text\n{describe(found | places)}\n```" in FIRST_STEPS
