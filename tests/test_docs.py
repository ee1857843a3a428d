"""What README.md and docs/ show is what happens: marked commands run, others parse, tables of keys are complete."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from p2vit.cli.main import cli, run

ROOT = Path(__file__).parent.parent
NAMES = ("cli", "errors", "glossary", "decisions", "models", "python", "dense", "zero-shot")
PAGES = [ROOT / "README.md", *(page for name in NAMES for page in (ROOT / "docs").rglob(f"{name}.md"))]
BLOCK = re.compile(r"(?:^<!-- (run|check) -->\n)?^```(bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path, mark: str) -> list[str]:
    found = []
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        assert block.group(1), (
            f"{page.name}: a block of commands is marked neither run nor check:\n{block.group(3)}"
        )
        if block.group(1) == mark:
            found += [line for line in block.group(3).splitlines() if line and not line.startswith("#")]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_marked_commands_run(page, tmp_path, monkeypatch, capsys):
    lines = commands(page, "run")
    if not lines:
        pytest.skip("nothing to run")
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "p2vit"
        assert run(words) == 0, f"{line}\n{capsys.readouterr().err}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_other_commands_parse(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in commands(page, "check"):
        program, *words = shlex.split(line)
        if program == "make":
            assert words[0] in targets
            continue
        if program == "torchrun":
            assert "--nproc-per-node" in words[: words.index("-m")]
            program, words = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
        assert program == "p2vit", line
        verb = cli.get_command(None, words[0])
        assert verb is not None, line
        verb.make_context(words[0], words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_running_text_exist(page):
    for line in re.findall(r"`p2vit ([a-z]+ [^`]*--[^`]*)`", page.read_text(encoding="utf-8")):
        verb, *words = line.split()
        known = {name for parameter in cli.get_command(None, verb).params for name in parameter.opts} | {
            "--help"
        }
        assert {word for word in words if word.startswith("-")} <= known, line


def test_make_targets_that_the_readme_names():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named <= targets


def test_links_lead_somewhere():
    for page in (*PAGES, *(ROOT / "docs").rglob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def documented(verb: str) -> set[str]:
    section = (
        (ROOT / "docs" / "reference" / "cli.md")
        .read_text(encoding="utf-8")
        .split(f"\n## {verb}\n")[1]
        .split("\n## ")[0]
    )
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


def test_every_json_key_is_documented(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    from PIL import Image

    from p2vit.workflows.ablate import run_ablate
    from p2vit.workflows.audit import run_audit
    from p2vit.workflows.demo import run_demo
    from p2vit.workflows.doctor import run_doctor
    from p2vit.workflows.evaluate import run_eval
    from p2vit.workflows.inspect import run_inspect
    from p2vit.workflows.listing import run_list
    from p2vit.workflows.quantize import run_quantize
    from p2vit.workflows.report import run_report
    from p2vit.workflows.reproduce import run_reproduce
    from p2vit.workflows.run import run_photos
    from p2vit.workflows.search import run_search
    from p2vit.workflows.verify import run_verify

    monkeypatch.chdir(tmp_path)
    program = Path("p")
    Image.new("RGB", (8, 8)).save("x.png")
    results = {
        "quantize": run_quantize("digits", "digits", program, calib_images=8),
        "search": run_search("digits", "digits", Path("s"), budget="average-bits=6", fine=False),
        "eval": run_eval(program, "digits", limit=8),
        "audit": run_audit(program),
        "inspect": run_inspect(program),
        "verify": run_verify(program, images=1),
        "run": run_photos(program, [Path("x.png")]),
        "report": run_report(program, Path("r.html")),
        "ablate": run_ablate("digits", "digits", Path("a"), rows=("paper",), calib_images=4, limit=8),
        "reproduce": run_reproduce(),
        "list": run_list(),
        "doctor": run_doctor(),
    }
    for verb, result in results.items():
        assert documented(verb) == set(result), verb
    demo = set(run_demo(Path("d"), benchmark="digits", calib_images=8, limit=8))
    parts = documented("quantize") | documented("eval") | documented("audit")
    assert demo == (parts | documented("demo")) - {"layers", "problems"}


def test_the_table_of_families_is_the_measured_one():
    spec = importlib.util.spec_from_file_location(
        "measure_families", ROOT / "scripts" / "measure_families.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    table = script.families_table(script.read())
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "not measured" not in table
    assert "**" not in table  # nothing that fails
