"""Files as people bring them, right or damaged: machines, labels, results of other verbs; and what is no file."""

import json
import os
import shutil
import socket
import stat
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from p2vit.program.format import save
from support.damage import HOSTILE
from support.forging import SMALL
from support.programs import random_program, windowed_program

Make = Callable[["Place", np.random.Generator], str]

#: Numbers that YAML and JSON can write and that descriptions seldom expect.
NUMBERS = [
    0,
    -1,
    1,
    2,
    3,
    7,
    65536,
    65537,
    10**6,
    10**9,
    10**18,
    10**30,
    0.5,
    1e-300,
    1e300,
    float("nan"),
    float("inf"),
]
_SHIPPED = {
    "machine": ("p2vit.accel.machine", "descriptions"),
    "space": ("p2vit.accel.explore", "spaces"),
    "technology": ("p2vit.accel.machine", "technology_tables"),
}


class Place:
    """A folder with inputs, made anew for each case, and a folder ``work`` for outputs.

    Args:
        folder: Where everything is; it is emptied.
        digits: A program's folder from ``p2vit quantize digits``, if there is one.
    """

    def __init__(self, folder: Path, digits: Path | None = None) -> None:
        self.folder, self.digits = folder, digits
        self.pristine = folder.with_name(folder.name + "-pristine")
        if not self.pristine.exists():
            self._make(self.pristine)
        self.renew()

    def renew(self) -> None:
        """Undo what a case has done."""
        if self.folder.exists():
            for entry in self.folder.rglob("*"):
                if entry.is_dir() and not entry.is_symlink():
                    entry.chmod(0o755)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.pristine, self.folder, symlinks=True)
        os.mkfifo(self.folder / "fifo")
        # A device of our own: what is done to it hurts nobody. Where none may be made, a socket takes its place.
        try:
            os.mknod(self.folder / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        except OSError:
            with socket.socket(socket.AF_UNIX) as end:
                end.bind(os.path.relpath(self.folder / "device"))
        (self.folder / "loop").symlink_to("loop")
        (self.folder / "broken").symlink_to("nothing")
        (self.folder / "unreadable").chmod(0)

    def foreign(self) -> bytes:
        """What lies in the folder that nobody may touch."""
        return (self.folder / "foreign" / "mine.txt").read_bytes()

    def _make(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for name in ("photos/0", "photos/1", "foreign", "work", "empty"):
            (folder / name).mkdir(parents=True)
        for name in ("photos/0/a.png", "photos/0/b.png", "photos/1/c.png", "photos/1/d.png"):
            Image.fromarray(rng.integers(0, 256, (16, 12, 3), dtype=np.uint8)).save(folder / name)
        (folder / "foreign" / "mine.txt").write_text("mine")
        (folder / "unreadable").write_bytes(b"x")
        (folder / "bytes").write_bytes(rng.bytes(2000))
        (folder / "nothing.txt").write_bytes(b"")
        save(random_program(**SMALL), folder / "small")
        save(windowed_program(image=(12, 16), dim=8, side=2, form="log2", weight_bits=4), folder / "windows")
        if self.digits is not None:
            shutil.copytree(self.digits, folder / "digits-program")


def _hurt(value: object, rng: np.random.Generator) -> object:
    """One value somewhere in a document is another, is gone, or has a companion that nobody knows."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = list(value)[int(rng.integers(len(value)))]
        turn = rng.random()
        if turn < 0.08:
            return {k: v for k, v in value.items() if k != key}
        if turn < 0.12:
            return value | {str(key) + "x": value[key]}
        return {k: _hurt(v, rng) if k == key else v for k, v in value.items()}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = int(rng.integers(len(value)))
        return [_hurt(v, rng) if i == at else v for i, v in enumerate(value)]
    odd = NUMBERS if isinstance(value, int | float) and rng.random() < 0.7 else HOSTILE
    return odd[int(rng.integers(len(odd)))]


def _spoilt(content: bytes, rng: np.random.Generator) -> bytes:
    """A text after damage that knows nothing of its meaning."""
    turn = int(rng.integers(7))
    if turn == 0:
        return content[: int(rng.integers(len(content) + 1))]
    if turn == 1:
        return content.decode(errors="replace").encode(str(rng.choice(["utf-16", "utf-32", "utf-8-sig"])))
    if turn == 2:
        return content + bytes(rng.integers(0, 256, int(rng.integers(1, 60)), dtype=np.uint8))
    if turn == 3:
        return b"[" * int(10 ** rng.uniform(1, 4.5))
    lines = content.split(b"\n")
    at = int(rng.integers(len(lines)))
    if turn == 4:
        return b"\n".join([*lines[:at], lines[at], *lines[at:]])
    if turn == 5:
        return b"\n".join([*lines[:at], *lines[at + 1 :]])
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        if found:
            found[int(rng.integers(len(found)))] ^= 1 << int(rng.integers(8))
    return bytes(found)


def _yaml(kind: str) -> Make:
    """A shipped YAML file, as it is or damaged."""

    def make(place: Place, rng: np.random.Generator) -> str:
        package, name = _SHIPPED[kind]
        folder = files(package) / name
        shipped = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
        content = (folder / str(rng.choice(shipped))).read_bytes()
        path = place.folder / f"{kind}.yaml"
        if rng.random() < 0.7:
            document = YAML(typ="safe").load(content)
            for _ in range(int(rng.integers(0, 3))):
                document = _hurt(document, rng)
            if kind == "machine" and rng.random() < 0.3 and isinstance(document, dict):
                _yaml("technology")(place, rng)
                document["technology"] = str(
                    rng.choice(["technology.yaml", "no.yaml", "machine.yaml", "fifo.yaml"])
                )
            with path.open("w", encoding="utf-8", errors="surrogatepass") as stream:
                YAML(typ="safe").dump(document, stream)
        else:
            path.write_bytes(_spoilt(content, rng))
        return path.name

    return make


def _written(name: str, *contents: bytes) -> Make:
    """One of some contents, as it is or spoilt."""

    def make(place: Place, rng: np.random.Generator) -> str:
        content = contents[int(rng.integers(len(contents)))]
        (place.folder / name).write_bytes(_spoilt(content, rng) if rng.random() < 0.6 else content)
        return name

    return make


def _json(name: str, document: object) -> Make:
    """A JSON file, as it is, with other values, or spoilt."""

    def make(place: Place, rng: np.random.Generator) -> str:
        value = document
        for _ in range(int(rng.integers(0, 3))):
            value = _hurt(value, rng)
        content = json.dumps(value).encode()
        (place.folder / name).write_bytes(_spoilt(content, rng) if rng.random() < 0.3 else content)
        return name

    return make


def _notes(place: Place, rng: np.random.Generator) -> str:
    """A program whose ``sensitivity.json`` is not as it was."""
    block = {"name": "blocks.0", "local_sqnr_db": 40.5, "cumulative_sqnr_db": 39.7}
    _json("notes.json", {"blocks": [block, block], "model": "digits", "seconds": 1.5})(place, rng)
    program = place.folder / ("digits-program" if place.digits else "small")
    (program / "sensitivity.json").write_bytes((place.folder / "notes.json").read_bytes())
    return program.name


def _weights(place: Place, rng: np.random.Generator) -> str:
    """A weight file of the digits model, as it is or spoilt."""
    from p2vit.models.registry import load_model

    torch = __import__("torch")
    path = place.folder / "weights.pth"
    torch.save(load_model("digits").module.state_dict(), path)
    if rng.random() < 0.5:
        content = bytearray(path.read_bytes())
        content[int(rng.integers(len(content)))] ^= 255
        path.write_bytes(
            content[: int(rng.integers(len(content))) or None] if rng.random() < 0.4 else content
        )
    return path.name


EVALUATION = {
    "images": 4, "data": "photos", "top1": 50.0, "top5": 100.0, "top1_float": 50.0, "top5_float": 100.0, "agreement": 75.0,  # noqa: E501
    "sqnr_db": 30.5, "feature": None, "per_class": [{"name": "0", "images": 2, "top1": 50.0, "top1_float": 50.0}],
    "confusion": [[1, 1], [0, 2]], "most_confused": [], "classes": ["0", "1"], "backend": "native", "notes": [],
    "evaluation_seconds": 1.0, "program": "small", "skipped": [], "feature_sqnr_db": None,
}  # fmt: skip

#: What a file's name can lead to, by what it is for.
FILES: dict[str, Make] = {
    "machine": _yaml("machine"),
    "space": _yaml("space"),
    "technology": _yaml("technology"),
    "labels": _written(
        "labels.csv",
        b"file,label\n0/a.png,0\n1/c.png,1\n",
        b"a.png 0\nb.png 1\n",
        b"0\n1\n0\n1\n",
        b"0/a.png,\xff\n",
    ),
    "classes": _json("classes.json", {"0": ["n00", "cat"], "1": ["n01", "dog"]}),
    "class list": _written("classes.txt", b"cat\ndog\n", b"n00 1 cat\nn01 2 dog\n"),
    "evaluation": _json("evaluation.json", EVALUATION),
    "log": _written("log.jsonl", b'{"machine": 1}\n', b'{"point": {"a": 1}, "figures": {}}\n', b"\n\n"),
    "notes": _notes,
    "weights": _weights,
    "liberty": _written(
        "cells.lib", b"library (x) { cell (a) { area : 1; pin (A) { direction : input; } } }\n"
    ),
}
#: Names of what lies in the folder and is no such file, or does not lie there.
NAMES = [
    "fifo", "device", "loop", "broken", "unreadable", "bytes", "nothing.txt", "empty", "foreign", "photos", "small",
    "windows", "no such", "no/such/place", ".", "..", "/", "", " ", "-", "bytes/below", "photos/0/a.png", "é😀",
    "\udcff\udcfe", "a\nb", "\x1b[31mred", "x" * 300, "/proc/self/mem", "/dev/full", "fifo.yaml", "small/program.json",
    "foreign/mine.txt", "work/new", "work/new.html", "work/new.onnx", "work/a/b/c",
]  # fmt: skip
