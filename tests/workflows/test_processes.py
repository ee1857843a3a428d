"""Real processes: what several of them measure together is what one measures, and the failure of one ends all."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2vit.workflows.evaluate import run_eval
from p2vit.workflows.plain import to_json

pytest.importorskip("torch")
TORCHRUN = Path(sys.executable).with_name("torchrun")
#: What may differ: who ran it, and how long it took.
HOW = ("threads", "processes", "evaluation_seconds")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A program, 41 photos in ten classes, and a gallery."""
    from p2vit.workflows.quantize import run_quantize

    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(3)
    for folder, count in (("val", 41), ("gallery", 23)):
        for index in range(count):
            (root / folder / str(index % 10)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)).save(
                root / folder / str(index % 10) / f"{index}.png"
            )
    run_quantize("digits", str(root / "val"), root / "program", calib_images=8, threads=1)
    return root


def command(place, *more):
    return [
        "-m",
        "p2vit",
        "eval",
        str(place / "program"),
        "--data",
        str(place / "val"),
        "--batch-size",
        "3",
        *more,
    ]


def clean():
    return {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}


def alone(place, **more):
    """What one process measures, here."""
    return json.loads(
        to_json(run_eval(place / "program", str(place / "val"), batch_size=3, threads=2, **more))
    )


def torchrun(processes, words, **more):
    launch = [str(TORCHRUN), "--nproc-per-node", str(processes), "--standalone", *words]
    if not TORCHRUN.exists():
        launch[0:1] = [sys.executable, "-m", "torch.distributed.run"]
    return subprocess.run(launch, capture_output=True, text=True, env=clean(), timeout=60, **more)


def by_hand(processes, words):
    """Processes as a launcher on several machines starts them: by environment alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for rank in range(processes):
        own = {
            "RANK": str(rank),
            "WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        running.append(
            subprocess.Popen(
                [sys.executable, *(words[rank] if isinstance(words[0], list) else words)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**clean(), **own},
            )
        )
    answers = [process.communicate(timeout=60) for process in running]
    return [(process.returncode, *answer) for process, answer in zip(running, answers, strict=True)]


def figures(result):
    return {key: value for key, value in result.items() if key not in HOW}


@pytest.mark.extended
def test_three_processes_measure_what_one_does(place):
    gallery = str(place / "gallery")
    done = torchrun(3, command(place, "--feature", "--gallery", gallery, "--json"))
    assert done.returncode == 0, done.stderr
    together = json.loads(done.stdout)  # one object: only the first process prints
    assert together["processes"] == 3
    assert together["feature"]["gallery_images"] == 23
    assert figures(together) == figures(alone(place, feature=True, gallery=gallery))
    assert done.stderr.count("evaluate: 0/41") == 1


@pytest.mark.extended
def test_a_failing_process_ends_all_with_its_message(place, tmp_path):
    shutil.copytree(place, tmp_path / "w")
    # Fourteen batches of three: the second process has the fourth batch.
    bad = sorted((tmp_path / "w" / "val").rglob("*.png"), key=lambda path: (path.parent.name, path.name))[9]
    bad.write_bytes(b"broken")
    answers = by_hand(2, command(tmp_path / "w", "--strict", "--json"))
    (code, out, err), (other_code, other_out, other_err) = answers
    assert (code, other_code) == (2, 2)
    assert f"error: process 1 of 2 ({socket.gethostname()}): {bad}: not a photo" in err
    assert json.loads(out)["error"].startswith("process 1 of 2")
    assert other_out == ""
    assert "error" not in other_err


@pytest.mark.slow
def test_two_processes_and_a_photo_that_is_skipped(place, tmp_path):
    shutil.copytree(place, tmp_path / "w")
    (tmp_path / "w" / "val" / "4" / "4.png").write_bytes(b"broken")
    done = torchrun(2, command(tmp_path / "w", "--json"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: skipped") == 1
    assert figures(json.loads(done.stdout)) == figures(alone(tmp_path / "w"))


@pytest.mark.slow
def test_more_processes_than_batches(place):
    done = torchrun(3, command(place, "--limit", "4", "--json"))
    assert figures(json.loads(done.stdout)) == figures(alone(place, limit=4))


@pytest.mark.slow
def test_processes_with_different_photos_refuse(place, tmp_path):
    shutil.copytree(place / "val", tmp_path / "other")
    (tmp_path / "other" / "3" / "3.png").rename(tmp_path / "other" / "2" / "3.png")
    words = [
        command(place),
        [word.replace(str(place / "val"), str(tmp_path / "other")) for word in command(place)],
    ]
    (code, _, err), _ = by_hand(2, words)
    assert code == 2
    assert "have different photos or labels; every machine needs the same files" in err


@pytest.mark.slow
def test_a_killed_process_ends_all(place, tmp_path):
    script = tmp_path / "dies.py"
    script.write_text(
        "import os, sys\n"
        "import p2vit.evaluate.accuracy as accuracy\n"
        "from p2vit.cli.main import run\n"
        "if os.environ['RANK'] == '1':\n"
        "    accuracy.record = lambda *values, **options: os.kill(os.getpid(), 9)\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    done = torchrun(2, [str(script), *command(place, "--json")[2:]])
    assert done.returncode != 0
    assert "stopped by its launcher, most likely because another process of the run has ended" in done.stderr


def test_variables_that_make_no_sense(p2vit, monkeypatch):
    for name, value in {
        "RANK": "x",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    answer = p2vit("eval", "nowhere", "--data", "noise")
    assert answer.code == 2
    assert "the processes of this run cannot meet" in answer.err
    assert "RANK=x" in answer.err
