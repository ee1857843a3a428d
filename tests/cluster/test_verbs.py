"""Every verb whose work can be shared out: on real Ray and Dask clusters of two workers, the same bytes as here.

Each command is a process of its own, so that its standard output is all that it and its cluster write there.
"""

import hashlib
import json
import subprocess
import sys

import pytest

from p2vit.cli.shared.common import Output
from p2vit.cli.verbs.search import renamed

pytest.importorskip("torch")
pytest.importorskip("sklearn")

#: What depends on the clock, on who did the work, or on where the output lies.
TIMES = {"seconds", "evaluation_seconds", "points_per_minute", "threads", "processes"}
PLACES = {"file", "files", "log", "command"}

VERBS = {
    "explore": ("explore", "digits", "--points", "120", "--seed", "1"),
    "search": (
        "search", "digits", "--data", "digits", "--budget", "average-bits=6", "--calib-images", "16",
        "--held-out", "8", "--population", "4", "--generations", "2",
    ),
    "ablate": ("ablate", "digits", "--data", "digits", "--row", "log2", "--row", "naive-ceil", "--limit", "64"),
    "eval": ("eval", "PROGRAM", "--data", "digits", "--feature", "--limit", "200"),
}  # fmt: skip
ENGINES = {"dask": "distributed", "ray": "ray"}
#: The other verbs take longer.
EXTENDED = {("eval", "dask")}
CASES = [
    pytest.param(verb, engine, marks=pytest.mark.extended if (verb, engine) in EXTENDED else pytest.mark.slow)
    for verb in VERBS
    for engine in ENGINES
]


def timeless(value):
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMES | PLACES}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def command(verb, engine, folder, program):
    words = [str(program) if word == "PROGRAM" else word for word in VERBS[verb]]
    output = ["-o", str(folder / "out")] if verb in ("search", "ablate") else []
    done = subprocess.run(
        [sys.executable, "-m", "p2vit", *words, *output, "--engine", engine, "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result = timeless(json.loads(done.stdout))  # exactly one object, whatever the cluster had to say
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "out").rglob("*"))
        if path.name in ("program.json", "tensors.safetensors", "sensitivity.json") and path.is_file()
    }
    log = folder / "out.search.jsonl"
    return result, files, log.read_bytes() if log.exists() else b""


@pytest.mark.parametrize(("verb", "engine"), CASES)
def test_a_cluster_gives_the_same_bytes(verb, engine, tmp_path, digits_program):
    pytest.importorskip(ENGINES[engine])
    pytest.importorskip("optuna")
    found = []
    for name in ("local", engine):
        folder = tmp_path / name
        folder.mkdir()
        found.append(command(verb, name, folder, digits_program))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"backend": "ray", "jobs": None}, ("ray", 2)),
        ({"backend": "loky", "jobs": 3}, ("local", 3)),
        ({"backend": "serial", "jobs": 4}, ("local", 1)),
    ],
)
def test_older_names_still_work(old, new, capsys):
    found = renamed(Output(), {**old, "engine": "local", "workers": None})
    assert (found["engine"], found["workers"]) == new
    assert "--backend and --jobs are now called --engine and --workers" in capsys.readouterr().err


def test_a_cluster_that_is_not_there(p2vit, digits_program):
    pytest.importorskip("ray")
    answer = p2vit("eval", digits_program, "--data", "digits", "--engine", "ray", "--address", "127.0.0.1:9")
    assert answer.code == 2
    assert "no Ray cluster can be reached there" in answer.err
    answer = p2vit("explore", "digits", "--address", "127.0.0.1:9")
    assert answer.code == 2
    assert "--address: the engine 'local' has no address; add --engine ray or --engine dask" in answer.err
