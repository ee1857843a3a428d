"""Prepared cases of `measure_gpu.py`: programs without weights, photos, and the reference's integers."""

import argparse
import hashlib
import io
import json
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

#: Photos whose tensors are compared with the reference.
PHOTOS = 8


def seeded(program: Any) -> Any:
    """Replace the weights of all linear layers by seeded integers, uniform with the spread of each output channel."""
    from p2vit.numerics import Linear

    nodes = []
    for index, node in enumerate(program.nodes):
        if isinstance(node.operator, Linear):
            widest = node.operator.weight[:, :1].astype(np.int64)
            count = node.operator.weight.size
            # Raw bits of PCG64 are the same for every version of NumPy.
            raw = np.random.PCG64([0, index]).random_raw(-(-count // 8)).view(np.uint8)[:count]
            numbers = raw.reshape(node.operator.weight.shape).astype(np.int64)
            weight = ((numbers * (2 * widest + 1)) >> 8) - widest
            node = replace(node, operator=replace(node.operator, weight=weight.astype(np.int8)))
        nodes.append(node)
    return replace(program, nodes=tuple(nodes))


def without_weights(program: Any) -> Any:
    """Keep the spread of each channel's weights as its first weight, and set all others to 0."""
    from p2vit.numerics import Linear

    nodes = []
    for node in program.nodes:
        if isinstance(node.operator, Linear):
            spread = np.rint(node.operator.weight.std(axis=1) * 3**0.5).clip(1, 127).astype(np.int8)
            weight = np.zeros_like(node.operator.weight)
            weight[:, 0] = spread
            node = replace(node, operator=replace(node.operator, weight=weight))
        nodes.append(node)
    return replace(program, nodes=tuple(nodes))


def prepare(options: argparse.Namespace) -> None:
    """Write one file per program: the program without weights, photos, and the reference's tensors."""
    from p2vit.data.noise import NoisePhotos
    from p2vit.engine.reference import ReferenceExecutor
    from p2vit.program.format import load, program_sha256, save

    options.output.mkdir(parents=True, exist_ok=True)
    for folder in options.programs:
        small = without_weights(load(folder))
        program = seeded(small)
        reference = ReferenceExecutor(program)
        photos = np.concatenate(
            [pixels for pixels, _ in NoisePhotos(program.preprocessing, PHOTOS).evaluation(PHOTOS, PHOTOS)]
        )
        digests = {node.name: hashlib.sha256() for node in program.nodes}
        logits = []
        for photo in photos:
            tensors = reference.run(photo[None], list(digests))
            for name, digest in digests.items():
                digest.update(np.ascontiguousarray(tensors[name]).tobytes())
            logits.append(tensors[program.output].reshape(1, -1))
            print(folder.name, len(logits), file=sys.stderr)
        expected = {
            "program_sha256": program_sha256(program),
            "macs": program.macs,
            "tensors": {name: digest.hexdigest() for name, digest in digests.items()},
        }
        with (
            tempfile.TemporaryDirectory() as scratch,
            zipfile.ZipFile(options.output / f"{folder.name}.zip", "w", zipfile.ZIP_LZMA) as archive,
        ):
            save(small, Path(scratch) / "program")
            for file in ("program.json", "tensors.safetensors"):
                archive.write(Path(scratch) / "program" / file, f"program/{file}")
            archive.writestr("expected.json", json.dumps(expected))
            for name, array in (("photos", photos), ("logits", np.concatenate(logits))):
                content = io.BytesIO()
                np.save(content, array)
                archive.writestr(f"{name}.npy", content.getvalue())


class Case:
    """A prepared program with its photos and the reference's integers."""

    def __init__(self, file: Path) -> None:
        """Read a file of `prepare`; the program must have the recorded hash."""
        from p2vit.program.format import load, program_sha256

        self.name = file.stem
        with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(file) as archive:
            archive.extractall(scratch)
            self.program = seeded(load(Path(scratch) / "program"))
            self.photos, self.logits = (np.load(Path(scratch) / f"{n}.npy") for n in ("photos", "logits"))
        with zipfile.ZipFile(file) as archive:
            self.expected = json.loads(archive.read("expected.json"))
        if program_sha256(self.program) != self.expected["program_sha256"]:
            sys.exit(f"{file}: the program made here is not the one that was prepared")

    def batch(self, size: int) -> np.ndarray:
        """Return photos uint8 [size, H, W, 3]; the prepared ones repeat."""
        return self.photos[np.arange(size) % len(self.photos)]

    def wrong_logits(self, found: np.ndarray) -> int:
        """Return how many of the logits differ from the reference's."""
        return int((found.reshape(len(found), -1) != self.logits[np.arange(len(found)) % PHOTOS]).sum())

    def verify(self, executor: Any, device: str) -> dict[str, Any]:
        """Compare every tensor with the reference by its hash; name the first difference from the CPU."""
        names = list(self.expected["tensors"])
        tensors = executor.run(self.photos, names)
        wrong = [
            name
            for name, digest in self.expected["tensors"].items()
            if hashlib.sha256(np.ascontiguousarray(tensors[name]).tobytes()).hexdigest() != digest
        ]
        row: dict[str, Any] = {
            "model": self.name, "program_sha256": self.expected["program_sha256"], "photos": len(self.photos),
            "tensors_compared": len(names), "mismatches": len(wrong), "first": wrong[:3],
        }  # fmt: skip
        if wrong and device != "cpu":
            from p2vit.engine.torch.executor import TorchExecutor

            right = TorchExecutor(self.program).run(self.photos[:2], wrong[:1])[wrong[0]]
            differs = tensors[wrong[0]][:2] != right
            row["detail"] = {"differing": int(differs.sum()), "of": differs.size}
        return row
