"""What README.md shows of outputs and figures: the quick start prints it, and results/ holds it."""

import json
import re
import shlex
from pathlib import Path

import pytest

from p2vit.cli.main import run

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "results"


def as_pattern(line: str) -> re.Pattern[str]:
    """A shown line as an expression; ``...`` stands for any text."""
    return re.compile(".*".join(map(re.escape, line.split("..."))))


def test_the_quick_start_prints_what_is_shown(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    [found] = re.finditer(
        r"<!-- run -->\n```bash\n(.*?)```.*?<!-- output -->\n```text\n(.*?)```", README, re.DOTALL
    )
    commands, shown = (part.splitlines() for part in found.groups())
    assert len(commands) == 5
    monkeypatch.chdir(tmp_path)
    for command in commands:
        assert run(shlex.split(command)[1:]) == 0
    printed = iter(capsys.readouterr().out.splitlines())
    for line in shown:  # in this order; other lines may stand between
        assert any(as_pattern(line).fullmatch(each) for each in printed), line


def figures(path: str) -> dict[str, object]:
    """What a file of results/ says; of the front of searches, its mix of 4 and 8 bits at 6.0 on average."""
    found = json.loads((RESULTS / path).read_text(encoding="utf-8"))
    if path == "search/front-elpv.json":
        [row] = [row for row in found["rows"] if row["budget"] == 6.0 and row["widths"] == "4/8"]
        [found] = [each for each in found["programs"] if each["bits"] == row["bits"]]
    return found


def rows() -> list[list[str]]:
    table = README.split("| benchmark | bits |")[1].split("\n\n")[0]
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


def test_the_demos_output_is_what_was_measured():
    from p2vit.cli.verbs.demo import describe

    found = json.loads((RESULTS / "elpv-w8a8.json").read_text(encoding="utf-8"))
    places = {"program": "out/demo/program", "report": "out/demo/report.html"}
    assert f"```text\n{describe(found | places)}\n```" in README
