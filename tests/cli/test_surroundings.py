"""Processes of their own: stopped by Ctrl-C, without streams, room, memory, files, a home or a locale."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from p2vit.program.format import save
from support.forging import SMALL
from support.programs import random_program

P2VIT = [sys.executable, "-m", "p2vit"]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program") / "p"
    save(random_program(**SMALL), folder)
    return folder


def ran(*words, shell_suffix="", limits=None, **environment):
    """A command's exit status, output and errors."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {shell_suffix}', "sh", *P2VIT, *map(str, words)],
        capture_output=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        preexec_fn=limits,
    )


@pytest.mark.parametrize("suffix", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams(program, suffix):
    answer = ran("audit", program, "--json", shell_suffix=suffix)
    assert answer.returncode == 0
    if ">&-" not in suffix.replace("2>&-", ""):
        assert json.loads(answer.stdout)["passed"]
    refused = ran("audit", program / "no", "--json", shell_suffix=suffix)
    assert refused.returncode == 2
    assert b"Traceback" not in answer.stderr + refused.stderr


def test_a_reader_that_goes_away(program):
    answer = ran("inspect", program, "--json", shell_suffix="| head -c 1 >/dev/null")
    assert answer.returncode == 0
    assert b"Traceback" not in answer.stderr


def test_a_locale_of_ascii_and_a_strict_standard_output(program):
    for settings in ({"LANG": "C", "LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}):
        answer = ran("inspect", program, **settings)
        assert answer.returncode == 0, answer.stderr
        named = ran("audit", program / "é😀", "--json", **settings)
        assert named.returncode == 2
        assert set(json.loads(named.stdout)) == {"error"}


def test_no_home_and_no_temporary_folder(program):
    answer = ran(
        "audit", program, "--json", HOME="/nonexistent", TMPDIR="/nonexistent", XDG_CACHE_HOME="/nonexistent"
    )
    assert answer.returncode == 0, answer.stderr


def test_an_instruction_set_that_there_is_not(program):
    answer = ran(
        "verify", program, "--backends", "reference,native", "--images", 1, "--json", P2VIT_ISA="x86-quantum"
    )
    assert answer.returncode == 2
    assert "x86-quantum" in json.loads(answer.stdout)["error"]


def limit(kind, value):
    return lambda: resource.setrlimit(kind, (value, value))


def test_few_open_files(program):
    answer = ran("audit", program, "--json", limits=limit(resource.RLIMIT_NOFILE, 24))
    assert answer.returncode in (0, 2), answer.stderr
    assert b"Traceback" not in answer.stderr


def test_too_little_memory_names_the_levers(program, tmp_path):
    words = ("export", program, "--format", "vectors", "-o", tmp_path / "out", "--images", 1 << 30, "--json")
    answer = ran(*words, limits=limit(resource.RLIMIT_AS, 4 << 30))
    assert answer.returncode == 2, answer.stderr
    told = json.loads(answer.stdout)["error"]
    assert "there is too little memory" in told
    assert "give a smaller --images" in told
    assert not (tmp_path / "out").exists()


LONG = {
    "search": (
        "digits",
        "--data",
        "digits",
        "--budget",
        "average-bits=6",
        "-o",
        "out",
        "--generations",
        "500",
    ),
    "explore": ("deit_tiny_patch16_224", "--points", "1000000", "--workers", "1", "--resume", "log.jsonl"),
    "eval": ("PROGRAM", "--data", "noise", "--no-float", "--limit", "100000000"),
    "verify": ("PROGRAM", "--images", "100000000"),
    "bench": ("PROGRAM", "--against", "", "--rounds", "10000", "--batches", "64"),
    "quantize": ("random:deit_tiny_patch16_224", "--data", "noise", "-o", "out", "--calib-images", "64"),
    "ablate": ("digits", "--data", "digits", "-o", "out"),
    "demo": ("--benchmark", "digits", "-o", "out", "--calib-images", "500"),
    "rtl": ("PROGRAM", "-o", "out"),
}


@pytest.mark.slow
@pytest.mark.parametrize("verb", LONG)
def test_ctrl_c(verb, program, tmp_path):
    """Stopped at a moment of its work, a verb says so in one object and leaves no output that looks whole."""
    words = [str(program) if word == "PROGRAM" else word for word in LONG[verb]]
    process = subprocess.Popen(
        [*P2VIT, verb, *words, "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    time.sleep(6 if verb in ("demo", "ablate", "rtl") else 8)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was done before it was stopped")
    assert process.returncode == 130, err
    assert json.loads(out) == {"error": "stopped"}
    assert b"Traceback" not in err
    assert not (tmp_path / "out" / "program.json").exists()
    assert not list(tmp_path.rglob("*.p2vit-new"))
