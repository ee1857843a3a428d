"""A program's files through every verb that reads them, in this process, and what came of it."""

import contextlib
import io
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from p2vit.cli.main import run as run_command
from p2vit.engine.reference import ReferenceExecutor
from p2vit.engine.registry import open_backend
from p2vit.errors import P2vitError
from p2vit.program.audit import audit
from p2vit.program.format import GRAPH_FILE, TENSOR_FILE, decode, encode
from p2vit.program.graph import IntegerProgram
from support.damage import DAMAGE, damaged
from support.forging import SMALL
from support.programs import random_pixels, random_program, windowed_program

#: Exit statuses that an input may have.
ALLOWED = (0, 1, 2)


def programs() -> list[IntegerProgram]:
    """What is damaged: plain, packed weights and powers of two, an odd one, windows and a pooling head."""
    return [
        random_program(**SMALL),
        random_program(**SMALL, weight_bits=4, form="log2"),
        random_program(**{**SMALL, "pool": "mean", "prefix": 0, "heads": 3, "dim": 9}),
        windowed_program(image=(12, 16), dim=8, side=2, form="log2", weight_bits=4),
    ]


@dataclass
class Found:
    """What one pair of files led to.

    Attributes:
        loaded: Whether they are a program.
        exits: (verb, exit status) of every verb that ran.
        failures: What may not be, in words; empty if all is well.
    """

    loaded: bool = False
    exits: list[tuple[str, int]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Walk:
    """Takes pairs of files through the verbs, one after the other, in a folder of its own."""

    def __init__(self, folder: Path, originals: list[tuple[bytes, bytes]]) -> None:
        """Make the photos that verbs want.

        Args:
            folder: Empty, or not there.
            originals: The files that are damaged, from `encode` or a folder.
        """
        self.folder, self.originals = folder, originals
        self.photos = folder / "photos"
        rng = np.random.default_rng(0)
        for name in ("one", "two"):
            (self.photos / name).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (16, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(self.photos / name / "0.png")

    @staticmethod
    def made() -> list[tuple[bytes, bytes]]:
        """The files of `programs`."""
        return [encode(program) for program in programs()]

    def case(self, seed: int) -> tuple[str, bytes, bytes]:
        """Kind of damage and files of one case; the same for the same seed."""
        rng = np.random.default_rng(seed)
        kind = list(DAMAGE)[seed % len(DAMAGE)]
        graph, tensors = self.originals[int(rng.integers(len(self.originals)))]
        return kind, *damaged(graph, tensors, DAMAGE[kind], rng)

    def verbs(self, place: Path) -> list[list[str]]:
        """Command lines that read a program, quick ones."""
        photo = str(self.photos / "one" / "0.png")
        report = str(self.folder / "report.html")
        return [
            ["audit", str(place)],
            ["inspect", str(place)],
            ["run", str(place), photo],
            ["eval", str(place), "--data", str(self.photos), "--threads", "1"],
            ["eval", str(place), "--data", str(self.photos), "--no-float", "--csv", str(place / "t.csv")],
            ["report", str(place), "-o", report, "--overwrite"],
            ["report", str(place), "-o", report, "--overwrite", "--data", str(self.photos), "--threads", "1"],
            ["verify", str(place), "--backends", "reference,native", "--images", "1"],
        ]

    def run(self, seed: int) -> Found:
        """One case: load, audit, compare the back-ends, and every verb; of what is refused, two verbs."""
        kind, graph, tensors = self.case(seed)
        found = Found()
        try:
            program = decode(graph, tensors, "here")
        except P2vitError as error:
            if not str(error).startswith("here/"):
                found.failures.append(f"seed {seed}, {kind}: the refusal names no file: {error}")
        else:
            found.loaded = True
            self._compare(program, seed, kind, found)
        place = self.folder / "program"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        (place / GRAPH_FILE).write_bytes(graph)
        (place / TENSOR_FILE).write_bytes(tensors)
        verbs = self.verbs(place)
        for arguments in (
            verbs if found.loaded else [verbs[seed % len(verbs)], verbs[(seed + 1) % len(verbs)]]
        ):
            self._verb(arguments, seed, kind, found)
        return found

    def _compare(self, program: IntegerProgram, seed: int, kind: str, found: Found) -> None:
        """The first back-end that runs it and the reference agree, where the audit promises it."""
        try:
            if not audit(program).passed:
                return
            pixels, names = random_pixels(program, 1), [node.name for node in program.nodes]
            expected = ReferenceExecutor(program).run(pixels, names)
            actual = open_backend("auto", program, 1)[1].run(pixels, names)
            wrong = [name for name in names if not np.array_equal(actual[name], expected[name])]
        except Exception as error:
            found.failures.append(f"seed {seed}, {kind}: {type(error).__name__}: {error}")
            return
        if wrong:
            found.failures.append(f"seed {seed}, {kind}: {wrong[:3]} differ from the reference")

    def _verb(self, arguments: list[str], seed: int, kind: str, found: Found) -> None:
        """One command line, quietly; its exit status and, where it asks for JSON, one object."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run_command([*arguments, "--json"])
        found.exits.append((arguments[0], code))
        where = f"seed {seed}, {kind}: p2vit {arguments[0]}"
        if code not in ALLOWED or (code == 0) > found.loaded:
            found.failures.append(f"{where} exits with {code}: {err.getvalue().strip()[-300:]}")
            return
        try:
            json.loads(out.getvalue())
        except ValueError:
            found.failures.append(f"{where} prints no JSON object: {out.getvalue()[:100]!r}")
        if "Traceback" in err.getvalue() or "\x1b" in err.getvalue():
            found.failures.append(f"{where} prints {err.getvalue()[-300:]!r}")
