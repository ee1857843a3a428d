"""What the pages show is what happens: marked commands run, others parse, tables of keys are complete."""

import importlib.util
import re
from pathlib import Path

import pytest

from p2vit.cli.main import cli
from support.pages import TARGETS, blocks, parse_command, run_command
from support.tiers import extended

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
#: Folders and pages with a test of their own, which runs them as a whole.
WHOLE = {"tutorials", "scales.md", "decibels.md", "softmax.md", "rows.md"}
NOT_WHOLE = [page for page in PAGES if not WHOLE & {page.name, page.parent.name}]
#: It has most commands.
CLI = ROOT / "docs" / "reference" / "cli.md"
#: Pages whose Python blocks another test runs.
PYTHON = {
    "README.md",
    "python.md",
    "dense.md",
    "numerics.md",
    "onnx.md",
    "accelerator.md",
    "native.md",
    "serve.md",
}


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_is_run_or_says_why_not(page):
    text = page.read_text(encoding="utf-8")
    languages = re.findall(r"^```([^\n]*)\n.*?^```$", text, re.MULTILINE | re.DOTALL)
    assert set(languages) <= {"python", "bash", "text"}, "other blocks are not checked"
    for block in blocks(page):
        if block.language == "bash":
            assert block.mark in ("run", "slow", "check"), f"line {block.line}: commands without a mark"
        if block.language == "python" and page in NOT_WHOLE:
            assert page.name in PYTHON, f"line {block.line}: no test runs the Python of this page"


@pytest.mark.parametrize("page", extended(NOT_WHOLE, quick=set(NOT_WHOLE) - {CLI}), ids=name)
def test_marked_commands_run(page, tmp_path, monkeypatch, capsys):
    lines = [words for block in blocks(page) if block.mark == "run" for words in block.commands]
    if not lines:
        pytest.skip("nothing to run")
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    for words in lines:
        run_command(words)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_other_commands_parse(page):
    for block in blocks(page):
        if block.mark in ("check", "slow"):
            for words in block.commands:
                parse_command(words)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_options_in_running_text_exist(page):
    for line in re.findall(r"`p2vit ([a-z]+ [^`]*--[^`]*)`", page.read_text(encoding="utf-8")):
        verb, *words = line.split()
        known = {name for parameter in cli.get_command(None, verb).params for name in parameter.opts} | {
            "--help"
        }
        assert {word for word in words if word.startswith("-")} <= known, line


def test_make_targets_that_the_pages_name():
    for page in PAGES:
        named = re.findall(r"`make ([a-z-]+)(?: [A-Z_]+=\S+)?`", page.read_text(encoding="utf-8"))
        # In the folder of an export, its own Makefile has targets of these names.
        assert set(named) - {"check", "size", "icarus"} <= TARGETS, page


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a page, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_somewhere():
    others = [ROOT / f"{page}.md" for page in ("STYLE", "CHANGELOG", "SECURITY", "CODE_OF_CONDUCT")]
    for page in (*PAGES, *others, *(ROOT / "results").rglob("*.md")):
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for link, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", text):
            target = (page.parent / link).resolve() if link else page
            assert target.exists(), f"{name(page)}: {link}"
            if anchor and target.suffix == ".md":
                assert anchor in anchors(target.read_text(encoding="utf-8")), f"{name(page)}: {link}#{anchor}"


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
    assert table in script.PAGE.read_text(encoding="utf-8")
    assert "not measured" not in table
    assert "**" not in table  # nothing that fails
