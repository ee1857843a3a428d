"""Every verb that writes: nothing of the user's is lost, whatever stands in the way."""

import os
import shutil
import subprocess
import sys

import pytest

from p2vit.files import RECORD, lock_output
from support.interrupted import tree
from support.tiers import extended

pytest.importorskip("torch")

SEARCH = (
    "--calib-images",
    4,
    "--held-out",
    2,
    "--population",
    3,
    "--generations",
    1,
    "--budget",
    "average-bits=6",
)
#: Verb → arguments (PROGRAM is a program, OUT the output), one of its files relative to the output's folder, whether
#: the output is a folder, packages it needs.
VERBS = {
    "quantize": (("digits", "--data", "digits", "--calib-images", 4, "-o", "OUT"), "README.md", True, ()),
    "search": (("digits", "--data", "digits", *SEARCH, "-o", "OUT"), "search.json", True, ()),
    "demo": (("--benchmark", "digits", "--limit", 20, "-o", "OUT"), "report.html", True, ()),
    "ablate": (
        ("digits", "--data", "digits", "--limit", 20, "--row", "naive-floor", "-o", "OUT"), "ablation.md", True, (),
    ),
    "rtl": (("PROGRAM", "--hw", "rtl-small", "-o", "OUT"), "Makefile", True, ("amaranth", "pyosys")),
    "vectors": (("PROGRAM", "--format", "vectors", "--images", 1, "-o", "OUT"), "manifest.json", True, ()),
    "onnx": (("PROGRAM", "--format", "onnx-integer", "-o", "OUT"), "out.onnx", False, ("onnx", "onnxruntime")),
    "report": (("PROGRAM", "-o", "OUT"), "out.json", False, ("jinja2",)),
    "simulate": (("digits", "--report", "OUT"), "out.html", False, ()),
    "plot": (("digits", "--plot", "OUT"), "out.svg", False, ()),
    "compare": (("digits", "--hw", "paper", "--plot", "OUT"), "out.svg", False, ()),
    "trace": (("digits", "--trace", "OUT"), "out.json", False, ()),
    "eval": (("PROGRAM", "--data", "digits", "--limit", 20, "--no-float", "--per-class", "OUT"), "out.csv", False, ()),
    "synth": (("--design", "register32", "-o", "OUT"), "netlists/register32.v", True, ("amaranth", "pyosys")),
}  # fmt: skip
COMMANDS = {"vectors": "export", "onnx": "export", "trace": "simulate", "plot": "simulate"}
SUFFIXES = {
    "onnx": ".onnx",
    "report": ".html",
    "simulate": ".html",
    "trace": ".json",
    "plot": ".svg",
    "compare": ".svg",
    "eval": ".csv",
}


@pytest.fixture(params=extended(VERBS, quick=set(VERBS) - {"rtl", "search", "demo"}))
def case(request, p2vit, tmp_path, digits_program):
    """(run the verb, its output, the folder of its files, one of them)."""
    arguments, file, is_folder, packages = VERBS[request.param]
    for package in packages:
        pytest.importorskip(package)
    output = tmp_path / "place" / f"out{SUFFIXES.get(request.param, '')}"

    def run(*more):
        given = [{"OUT": output, "PROGRAM": digits_program}.get(word, word) for word in arguments]
        return p2vit(COMMANDS.get(request.param, request.param), *given, "-q", *more)

    return run, output, output if is_folder else output.parent, file


def test_what_p2vit_did_not_write_is_kept(case, tmp_path):
    run, output, folder, file = case
    # Somebody else's file under a name that is needed, and more beside it.
    (folder / file).parent.mkdir(parents=True)
    (folder / file).write_text("theirs")
    (folder / "important.c").write_text("code")
    for more in ((), ("--overwrite",)):
        answer = run(*more)
        assert answer.code == 2, answer
        assert str(output.parent) in answer.err
        assert tree(tmp_path) == {
            f"{folder.relative_to(tmp_path)}/{file}": b"theirs",
            f"{folder.relative_to(tmp_path)}/important.c": b"code",
        }
    shutil.rmtree(tmp_path / "place")

    # Its own files are replaced if that is wanted, and only those.
    assert run().code == 0
    assert not [path for path in tmp_path.rglob(".*") if path.name != RECORD]
    (folder / "notes").mkdir()
    (folder / "notes" / "x").write_text("mine")
    (folder / file).with_name("beside.txt").write_text("mine")
    first = tree(tmp_path)
    again = run()
    assert again.code == 2
    assert "exists already; choose another place, or allow overwriting (--overwrite)" in again.err
    assert tree(tmp_path) == first
    assert run("--overwrite").code == 0
    second = tree(tmp_path)
    assert set(second) == set(first)
    assert (
        (folder / "notes" / "x").read_text() == (folder / file).with_name("beside.txt").read_text() == "mine"
    )

    # An edited one is named and kept.
    (folder / file).write_text("edited")
    before = tree(tmp_path)
    answer = run("--overwrite")
    assert answer.code == 2
    assert (
        f"{folder / file}: was changed after p2vit wrote it, so it is not overwritten; move it away"
        in answer.err
    )
    assert tree(tmp_path) == before


def test_a_second_run_is_refused_at_once(case, tmp_path):
    run, output, *_ = case
    script = (
        "import sys\nfrom pathlib import Path\nfrom p2vit.files import lock_output\n"
        "with lock_output(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(output)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        for more in ((), ("--overwrite",)):
            answer = run(*more)
            assert answer.code == 2
            assert f"{output}: another run of p2vit writes there (process {other.pid} on " in answer.err
        other.stdin.close()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["fifo", "link", "below a file", "loop"])
def test_what_no_output_can_be_is_refused_without_waiting(case, tmp_path, kind):
    run, output, *_ = case
    output.parent.mkdir(parents=True)
    if kind == "fifo":
        os.mkfifo(output)
    elif kind == "link":
        output.symlink_to("nowhere")
    elif kind == "below a file":
        output.parent.rmdir()
        output.parent.write_text("mine")
    else:
        output.parent.rmdir()
        output.parent.symlink_to("loop")
        (tmp_path / "loop").symlink_to("place")
    answer = run("--overwrite")
    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert str(output.parent) in answer.err


def test_read_only_verbs_take_no_lock(p2vit, digits_program):
    with lock_output(digits_program):
        for words in (("audit",), ("inspect",), ("eval", "--data", "digits", "--limit", 4, "--no-float")):
            assert p2vit(words[0], digits_program, *words[1:]).code == 0


@pytest.mark.parametrize("name", ["/dev/full", "fifo"])
def test_tables_and_logs_are_plain_files(p2vit, digits_program, tmp_path, name):
    os.mkfifo(tmp_path / "fifo")
    path = tmp_path / name
    for words in (
        ("eval", digits_program, "--data", "digits", "--limit", 4, "--no-float", "--csv", path),
        ("explore", "digits", "--points", 2, "--resume", path),
        ("report", digits_program, "-o", tmp_path / "r.html", "--eval", path),
    ):
        answer = p2vit(*words)
        assert answer.code == 2, answer
        assert str(path) in answer.err
