"""Names that nobody would choose, in every verb that takes photos: valid JSON, and nothing that moves a terminal."""

import csv
import json
import os
import re
import subprocess
import sys
import unicodedata
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from p2vit.text import original
from support.tiers import extended

NAMES = {
    "new line": "a\nerror: forged",
    "carriage return": "a\rb",
    "tab": "a\tb",
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "one-byte control": "a\x9b2Jb",
    "right to left": "a\u202egnp.exe",
    "line separator": "a\u2028b",
    "no UTF-8": "caf\udce9",
    "only bytes": "\udc80\udcff",
    "looks like a byte": "caf\\xe9",
    "backslash": "back\\slash\\",
    "spaces": "  two  ",
    "option": "--json",
    "dash": "-",
    "quotes": 'it\'s "quoted"',
    "HTML": "<script>alert(1)<",
    "entity": "&lt;b&gt;",
    "formula": "=1+1",
    "at": "@SUM(A1)",
    "template": "{{7*7}}%s{0}",
    "table": "a|b`c`",
    "commas": "a,b;c",
    "emoji": "🦆",
    "longest": "é" * 125,
}
#: All at once, for verbs that take long.
WORST = "".join(
    NAMES[kind] for kind in ("new line", "colour", "right to left", "no UTF-8", "HTML", "table", "tab")
)
#: What may stand at the beginning of a line on standard error.
PREFIXES = (
    "warning: ",
    "error: ",
    "note: ",
    "  ",
    "/",
    "writing ",
    "compiling",
    "[",
    *"abcdefghijklmnopqrstuvwxyz",
)


def photo(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    with open(os.fsencode(path), "wb") as file:
        Image.fromarray(pixels).save(file, "PNG")
    return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A folder of an odd name, with a class of every odd name that holds a photo and a broken photo of that name."""
    root = tmp_path_factory.mktemp("odd") / WORST
    for seed, name in enumerate(NAMES.values()):
        photo(root / name / f"{name}.png", seed)
        (root / name / f"{name}.jpg").write_bytes(b"broken")
        (root / name / f"{name[:50]}.odd\x1b[31m").write_bytes(b"no photo")
    return root


def harmless(text):
    """No character that a terminal obeys, and none that cannot be encoded."""
    text.encode()
    for character in text:
        assert character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp"), ascii(
            text
        )
        assert unicodedata.bidirectional(character) not in (
            "RLO",
            "LRO",
            "RLE",
            "LRE",
            "PDF",
            "RLI",
            "LRI",
        ), ascii(text)
    return text


def strict(text):
    """One JSON value without lone surrogates."""
    value = json.loads(text)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def checked(answer, code=0):
    assert answer.code == code, answer
    harmless(answer.out)
    for line in harmless(answer.err).splitlines():
        assert line.startswith(PREFIXES), line
    assert "\nerror: forged" not in "\n" + answer.out + "\n" + answer.err
    return answer


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)


def check_files(folder):
    """Whatever was written is text in UTF-8, JSON that is valid, and HTML without a foreign tag."""
    for path in folder.rglob("*"):
        if path.suffix in (".json", ".jsonl"):
            for text in (
                path.read_text("utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
            ):
                harmless(text)
                strict(text)
        if path.suffix in (".html", ".md", ".svg"):
            harmless(path.read_text("utf-8"))
        if path.suffix == ".html":
            tags = Tags()
            tags.feed(path.read_text("utf-8"))
            assert "script" not in tags.seen
        if path.suffix == ".md":
            assert "<script>" not in re.sub(r"`[^`]*`", "", path.read_text("utf-8"))


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("how", ["file", "folder", "missing", "broken", "class"])
def test_run_and_eval_on_any_name(p2vit, digits_program, tmp_path, kind, how):
    name = NAMES[kind]
    place = tmp_path / name
    file = place / f"{name}.png"
    if how == "missing":
        place.mkdir()
        checked(p2vit("run", digits_program, file), 2)
        answer = checked(p2vit("run", digits_program, file, "--json"), 2)
        assert strict(answer.out)["error"].endswith("no such file")
        checked(p2vit("eval", digits_program, "--data", file), 2)
        return
    photo(file)
    if how == "broken":
        file.write_bytes(b"broken")
        checked(p2vit("run", digits_program, file), 2)
        photo(place / "z.png")
        answer = checked(p2vit("run", digits_program, place, "--json"))
        (skipped,) = strict(answer.out)["skipped"]
        assert original(skipped["file"]) == str(file)
        assert f"{os.fsdecode(os.fsencode(file))}: not a photo" in original(skipped["reason"])
        return
    if how == "class":
        answer = checked(p2vit("eval", digits_program, "--data", tmp_path, "--json"))
        assert f"{len(name) and 1} classes" in strict(answer.out)["notes"][0]
        checked(p2vit("eval", digits_program, "--data", tmp_path))
        return
    given = file if how == "file" else place
    (row,) = strict(checked(p2vit("run", digits_program, given, "--json")).out)["outputs"]
    assert original(row["file"]) == str(file)
    assert len(checked(p2vit("run", digits_program, given)).out.splitlines()) == 1


@pytest.mark.extended
def test_every_verb_that_takes_photos(p2vit, digits_program, tree, tmp_path):
    out = tmp_path / "out"
    few = ("--images", 2)
    verbs = {
        "run": ("run", digits_program, tree),
        "eval": (
            "eval",
            digits_program,
            "--data",
            tree,
            "--csv",
            out / "e.csv",
            "--per-class",
            out / "c.csv",
        ),
        "quantize": ("quantize", "digits", "--data", tree, "-o", out / "q", "--calib-images", 4),
        "dry run": ("quantize", "digits", "--data", tree, "-o", out / "d", "--dry-run"),
        "search": (
            "search",
            "digits",
            "--data",
            tree,
            "-o",
            out / "s",
            "--budget",
            "average-bits=6",
            "--no-fine",
            "--calib-images",
            6,
        ),
        "verify": ("verify", digits_program, "--data", tree, *few),
        "export": ("export", digits_program, "--format", "vectors", "-o", out / "v", "--data", tree, *few),
        "report": ("report", digits_program, "-o", out / "r.html", "--data", tree),
        "ablate": (
            "ablate",
            "digits",
            "--data",
            tree,
            "-o",
            out / "a",
            "--row",
            "paper",
            "--calib-images",
            4,
            "--limit",
            4,
        ),
        "reproduce": ("reproduce", "--data", tree, "--calib-data", tree.parent / "none", "-o", out / "p"),
        "cosim": ("cosim", digits_program, "--hw", "rtl-small", "--predict", "--data", tree),
    }
    for verb, words in verbs.items():
        if verb == "search" and "--no-fine" not in p2vit("search", "--help").out:
            words = tuple(word for word in words if word != "--no-fine")
        code = 2 if verb == "reproduce" else 0
        answer = checked(p2vit(*words, "--json"), code)
        strict(answer.out)
        if verb != "dry run" and code == 0:
            checked(p2vit(*words, *(("--overwrite",) if "-o" in words or verb == "eval" else ())), code)
    check_files(out)
    for file in (out / "e.csv", out / "c.csv"):
        with file.open(encoding="utf-8", newline="") as rows:
            for row in csv.reader(rows):
                assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for cell in row)
    # The programs made of such photos are read, and say where they came from.
    found = strict(checked(p2vit("inspect", out / "q", "--json")).out)
    assert original(found["provenance"]["calibration"]["source"]) == str(tree)
    checked(p2vit("inspect", out / "q"))


def test_reports_of_what_eval_printed(p2vit, digits_program, tree, tmp_path):
    answer = checked(p2vit("eval", digits_program, "--data", tree, "--json"))
    (tmp_path / "e.json").write_text(answer.out, encoding="utf-8")
    checked(p2vit("report", digits_program, "-o", tmp_path / "r.html", "--eval", tmp_path / "e.json"))
    check_files(tmp_path)
    found = strict((tmp_path / "r.json").read_text("utf-8"))["evaluation"]
    assert found["data"] == strict(answer.out)["data"]  # escaped once, not twice
    assert original(found["data"]) == str(tree)


def test_figures_per_class_come_back_from_csv(p2vit, digits_program, tmp_path):
    odd = list(NAMES.values())[:10]
    for seed, name in enumerate(odd):
        photo(tmp_path / "data" / name / "x.png", seed)
    p2vit("eval", digits_program, "--data", tmp_path / "data", "--per-class", tmp_path / "c.csv", "--json")
    with (tmp_path / "c.csv").open(encoding="utf-8", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert sorted(original(name.removeprefix("'")) for name in names) == sorted(odd)


def test_class_names_are_harmless(p2vit, digits_program, tmp_path):
    file = photo(tmp_path / "x.png")
    (tmp_path / "names.txt").write_text("\n".join(["\x1b[31mred\u202e"] * 10), encoding="utf-8")
    for words in (
        ("--class-names", tmp_path / "names.txt"),
        ("--class-names", ",".join(["\x1b[31mred\udcff"] * 10)),
    ):
        answer = checked(p2vit("run", digits_program, file, *words))
        assert r"\x1b[31mred" in answer.out
        strict(checked(p2vit("run", digits_program, file, *words, "--json")).out)
        program = tmp_path / f"p{len(str(words))}"
        more = ("-o", program, "--calib-images", 4, *words)
        checked(p2vit("quantize", "digits", "--data", "digits", *more))
        checked(p2vit("inspect", program))
        strict(checked(p2vit("inspect", program, "--json")).out)
        assert r"\x1b[31mred" in checked(p2vit("run", program, file)).out
        check_files(program)


def test_options_names_and_paths_in_usage_errors(p2vit, digits_program):
    for words in (
        ("\x1b[31m",),
        ("run", digits_program, "--\x1b[31m"),
        ("run", digits_program, "--backend", "\x1b[31m\udcff", "x.png"),
        ("quantize", "\x1b[31m\udcff", "--data", "\x1b]0;x\x07", "-o", "x"),
        ("eval", "\udcff\x1b[31m", "--data", "digits"),
        ("verify", digits_program, "--data", "\x9b31m"),
    ):
        checked(p2vit(*words), 2)
        strict(checked(p2vit(*words, "--json"), 2).out)


ENVIRONMENTS = {
    "ascii, strict": {"PYTHONIOENCODING": "ascii:strict"},
    "utf-8, strict": {"PYTHONIOENCODING": "utf-8:strict"},
    "latin-1": {"PYTHONIOENCODING": "latin-1:strict"},
    "C locale": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "POSIX locale as it comes": {"LC_ALL": "POSIX"},
}


@pytest.mark.parametrize("environment", extended(ENVIRONMENTS, quick=["ascii, strict", "C locale"]))
def test_any_encoding_of_standard_output(digits_program, tree, environment):
    variables = {**os.environ, **ENVIRONMENTS[environment]}
    words = [sys.executable, "-m", "p2vit", "run", digits_program, os.fsencode(tree)]
    for more in ((), ("--json",)):
        done = subprocess.run([*words, *more], capture_output=True, env=variables, check=False)
        assert done.returncode == 0, done.stderr
        for stream in (done.stdout, done.stderr):
            assert b"Traceback" not in stream
            assert b"\x1b" not in stream
        encoding = "latin-1" if environment == "latin-1" else "ascii" if "ascii" in environment else "utf-8"
        text = done.stdout.decode(encoding)
        if more:
            found = {original(row["file"]) for row in strict(text)["outputs"]}
            # The bytes are the same whatever the locale: each name can be opened again.
            if environment != "C locale":
                assert found == {str(tree / name / f"{name}.png") for name in NAMES.values()}
            assert len(found) == len(NAMES)


def test_a_name_that_begins_with_a_dash(p2vit, digits_program, tmp_path, monkeypatch):
    photo(tmp_path / "--json.png")
    monkeypatch.chdir(tmp_path)
    (row,) = strict(p2vit("run", "--json", digits_program, "--", "--json.png").out)["outputs"]
    assert row["file"] == "--json.png"
