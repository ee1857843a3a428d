"""The site: its generated parts are complete, it builds strictly, and its checker finds what is wrong."""

import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import p2vit
from p2vit.cli.main import VERBS

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "site")]
check = importlib.import_module("check")
reference = importlib.import_module("reference")
results_history = importlib.import_module("results_history")
results_pages = importlib.import_module("results_pages")


def test_every_public_name_is_on_the_page():
    names = {identifier.rpartition(".")[2] for identifier in reference.identifiers()}
    assert names == set(p2vit.__all__) - {"__version__"}
    for identifier in reference.identifiers():
        module, _, name = identifier.rpartition(".")
        assert getattr(importlib.import_module(module), name) is getattr(p2vit, name)


def documented_things():
    """Every class, function and method that the reference shows."""
    modules = {module for _, _, names in reference.MODULES.values() for module in names}
    for module in sorted(modules):
        found = importlib.import_module(module)
        for name in getattr(found, "__all__", dir(found)):
            thing = getattr(found, name)
            own = getattr(thing, "__module__", "").startswith("p2vit")
            if not name.startswith("_") and own and (inspect.isclass(thing) or inspect.isfunction(thing)):
                yield f"{module}.{name}", thing
                for member, value in vars(thing).items() if inspect.isclass(thing) else ():
                    if not member.startswith("_") and inspect.isfunction(value):
                        yield f"{module}.{name}.{member}", value


def test_every_name_of_the_reference_has_a_docstring():
    missing = [name for name, thing in documented_things() if not inspect.getdoc(thing)]
    assert not missing
    assert len(list(documented_things())) > 100


@pytest.mark.parametrize("name", sorted(set(p2vit.__all__) - {"__version__"}))
def test_every_parameter_of_a_public_function_is_explained(name):
    thing = getattr(p2vit, name)
    methods = [
        value for key, value in vars(thing).items() if not key.startswith("_") and inspect.isfunction(value)
    ]
    for function in methods if inspect.isclass(thing) else [thing]:
        text = inspect.getdoc(function) or ""
        for parameter in inspect.signature(function).parameters:
            if parameter not in ("self", "cls"):
                assert f"{parameter}:" in text, f"{function.__qualname__}: {parameter}"


def test_every_verb_is_described():
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"`{verb}`" in page, verb


def test_every_page_has_a_place_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in text, page


def test_every_result_is_recorded():
    assert results_history.not_recorded() == [], "python scripts/results_history.py --machine ... FILE"


def test_the_page_of_results_shows_each_file_with_command_machine_and_date():
    [page] = results_pages.pages().values()
    for name in results_history.names():
        [row] = [line for line in page.splitlines() if line.startswith(f"| [{name}](")]
        _, date, command, machine = (cell.strip() for cell in row.strip("|").split(" | "))
        assert len(date) == 10
        assert command.strip("`")
        assert machine


def test_a_figure_that_is_measured_anew_stands_beside_the_older(tmp_path, monkeypatch):
    monkeypatch.setattr(results_history, "RESULTS", tmp_path)
    monkeypatch.setattr(results_history, "HISTORY", tmp_path / "history.jsonl")
    (tmp_path / "README.md").write_text("| `a.json` | `make a` |\n\nthe machine was a test bench.")
    for top1, machine in ((85.0, "one core"), (85.75, "two cores")):
        (tmp_path / "a.json").write_text(json.dumps({"top1": top1, "passed": True}))
        assert results_history.not_recorded() == ["a.json"]
        monkeypatch.setattr(sys, "argv", ["results_history.py", "--machine", machine])
        results_history.main()
    assert results_history.not_recorded() == []
    [page] = results_pages.pages().values()
    assert "| top1 | 85 | 85.75 |" in page
    assert "two cores" in page
    assert "Measured 2 times" in page


def test_a_measurement_without_a_machine_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(results_history, "RESULTS", tmp_path)
    monkeypatch.setattr(results_history, "HISTORY", tmp_path / "history.jsonl")
    (tmp_path / "README.md").write_text("")
    (tmp_path / "a.json").write_text('{"top1": 1}')
    monkeypatch.setattr(sys, "argv", ["results_history.py"])
    with pytest.raises(SystemExit, match="does not say on which machine"):
        results_history.main()


def test_the_checker_finds_broken_links_and_foreign_files(tmp_path):
    (tmp_path / "b.html").write_text('<h1 id="there">B</h1>')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">x</a><a href="b.html#gone">x</a><a href="c.html">x</a><img src="p.png">'
        '<script src="https://cdn.example/x.js"></script><a href="https://example.org">x</a>'
        '<link rel="stylesheet" href="//fonts.example/f.css">'
    )
    (tmp_path / "s.css").write_text("@import url(https://fonts.example/g.css); a{background:url(data:x)}")
    assert check.problems(tmp_path) == [
        "a.html links to b.html#gone, which has no such anchor",
        "a.html links to c.html, which does not exist",
        "a.html links to p.png, which does not exist",
        "a.html loads //fonts.example/f.css",
        "a.html loads https://cdn.example/x.js",
        "s.css loads https://fonts.example/g.css",
    ]


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path):
    for package in ("mkdocs", "material", "mkdocstrings", "mkdocs_click"):
        pytest.importorskip(package)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert check.problems(tmp_path / "site") == []
    assert (tmp_path / "site" / "search" / "search_index.js").is_file()
