"""The programs that run everywhere, their photos, and the integers of the reference."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p2vit.engine.executor import Executor
from p2vit.engine.reference import ReferenceExecutor
from p2vit.export.c.plan import Plan, make_plan
from p2vit.export.c.write import build_c, write_c
from p2vit.export.run import noise_pixels
from p2vit.program.format import load, program_sha256
from p2vit.program.graph import IntegerProgram
from p2vit.workflows.quantize import run_quantize

Integers = dict[str, NDArray[np.int64]]
#: Name → model and data of `p2vit quantize`.
MODELS = {
    "digits": ("digits", "digits"),
    "deit-t": ("random:deit_tiny_patch16_224", "noise"),
}


@dataclass(frozen=True)
class Comparison:
    """Bytes of a target beside those of the reference.

    Attributes:
        photos: Photos that were compared.
        compared: Bytes compared, in the widths in which the program stores its tensors.
        differing: How many of them differ.
    """

    photos: int
    compared: int
    differing: int


class Subject:
    """A program with its photos.

    Args:
        name: Name for messages.
        program: The program.
        pixels: Photos, uint8 [P, H, W, 3].
        folder: Folder for what is made.
        traced: Number of photos of which every tensor is compared.
    """

    def __init__(
        self, name: str, program: IntegerProgram, pixels: NDArray[np.uint8], folder: Path, traced: int
    ) -> None:
        self.name, self.program, self.pixels, self.folder, self.traced = name, program, pixels, folder, traced
        self.sha256 = program_sha256(program)
        self.plan: Plan = make_plan(program)

    @classmethod
    def of_model(cls, name: str, folder: Path, photos: int, traced: int) -> "Subject":
        """Quantize a model of `MODELS`, once, and take photos of its data, the first two black and white."""
        model, data = MODELS[name]
        made = folder / name / "program"
        if not made.exists():
            run_quantize(model, data, made)
        program = load(made)
        return cls(name, program, extreme_and_usual(program, data, photos), folder / name, traced)

    @property
    def steps(self) -> list[str]:
        """Names of the tensors that the C program writes, in its order."""
        return [step.name for step in self.plan.steps]

    @property
    def answers(self) -> list[str]:
        """Names of the tensors that every target returns for every photo."""
        return [self.program.output, self.program.feature]

    @cached_property
    def expected(self) -> tuple[list[Integers], list[Integers]]:
        """The reference's tensors of the traced photos, and its answers of all. They are kept on disk."""
        return self.of_executor(ReferenceExecutor(self.program), len(self.pixels), self.folder / "reference")

    def of_executor(
        self, executor: Executor, photos: int, kept: Path | None = None
    ) -> tuple[list[Integers], list[Integers]]:
        """Run photos one by one.

        Args:
            executor: Runs the program.
            photos: How many.
            kept: Folder of results of earlier runs.
        """
        tensors, answers = [], []
        for number in range(photos):
            names = self.answers if number >= self.traced else self.steps
            file = None if kept is None else kept / f"{self.sha256[:16]}-{number}-{len(names)}.npz"
            if file is not None and file.exists():
                found = dict(np.load(file))
            else:
                ran = executor.run(self.pixels[number : number + 1], names)
                found = {name: np.asarray(ran[name]) for name in {*names, *self.answers}}
                if file is not None:
                    file.parent.mkdir(parents=True, exist_ok=True)
                    np.savez(file, **found)
            if number < self.traced:
                tensors.append({name: found[name] for name in self.steps})
            answers.append({name: found[name] for name in self.answers})
        return tensors, answers

    def write_c(self) -> Path:
        """Write the C export; return its folder."""
        folder = self.folder / "c"
        export = build_c(
            self.program, self.pixels[:1], ReferenceExecutor(self.program), program_sha256=self.sha256
        )
        write_c(export, folder, overwrite=True)
        return folder

    def compare(self, tensors: list[Integers], answers: list[Integers]) -> Comparison:
        """Compare integers with those of the reference, byte by byte."""
        compared = differing = 0
        theirs, theirs_of_all = self.expected
        for found, right in [*zip(tensors, theirs, strict=False), *zip(answers, theirs_of_all, strict=False)]:
            for name, values in found.items():
                dtype = self.program.tensors[name].dtype
                here, there = (
                    np.ascontiguousarray(each.reshape(-1).astype(np.int32)) for each in (values, right[name])
                )
                # An integer outside the tensor's width must not become equal by being cut.
                wide = np.any(here != there.astype(dtype)) and np.array_equal(
                    here.astype(dtype), there.astype(dtype)
                )
                compared += here.size * dtype.itemsize
                differing += here.size if wide else bytes_apart(here.astype(dtype), there.astype(dtype))
        return Comparison(len(answers), compared, differing)

    def parse(self, written: bytes, photos: int) -> tuple[list[Integers], list[Integers]]:
        """Read what the runner wrote: 32-bit integers, lowest byte first."""
        values = np.frombuffer(written, "<i4").astype(np.int64)
        sizes = {
            name: int(np.prod(self.program.tensors[name].shape)) for name in {*self.steps, *self.answers}
        }
        tensors: list[Integers] = []
        answers: list[Integers] = []
        at = 0
        for number in range(photos):
            for names, rows in ((self.steps, tensors), (self.answers, answers)):
                if rows is tensors and number >= self.traced:
                    continue
                row = {}
                for name in names:
                    row[name] = values[at : at + sizes[name]]
                    at += sizes[name]
                rows.append(row)
        if at != len(values):
            raise SystemExit(f"{self.name}: {len(values)} integers were written, but {at} are expected")
        return tensors, answers


def bytes_apart(here: NDArray, there: NDArray) -> int:
    """Return the number of bytes that differ."""
    return int(np.count_nonzero(here.view(np.uint8) != there.view(np.uint8)))


def extreme_and_usual(program: IntegerProgram, data: str, photos: int) -> NDArray[np.uint8]:
    """Return a black photo, a white one, and photos of the data that were not used for calibration."""
    if data == "noise":
        usual = noise_pixels(program, photos, seed=1)
    else:
        from p2vit.data.benchmarks import open_photos

        usual = np.concatenate(
            [batch for batch, _ in open_photos(data, program.preprocessing).evaluation(limit=photos)]
        )
    usual[0], usual[1] = 0, 255
    return usual
