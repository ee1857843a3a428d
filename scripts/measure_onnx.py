"""Measure the ONNX exports of a program: equality, accuracy and speed, into results/onnx/NAME.json.

    python scripts/measure_onnx.py PROGRAM --data elpv --name elpv-w8a8
    python scripts/measure_onnx.py --random --data noise --name random-dinov2-s
    python scripts/measure_onnx.py PROGRAM --data elpv --name elpv-w8a8 --stages speed

PROGRAM is a folder that ``p2vit quantize`` wrote; ``--random`` takes random integers in the shape of DINOv2
ViT-S/14 instead, which is enough for equality and speed. The file is written after each stage; logits stay in
``out/onnx`` by the program's hash, so that a run that was cut off goes on where it was. ``--stages`` measures some
anew and keeps the others of the same program. Speed is measured interleaved: every contestant once per round.
"""

import argparse
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.engine.executor import Executor
from p2vit.engine.native import NativeExecutor, NativeUnavailableError
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.export.onnx.common.optional import onnxruntime
from p2vit.export.onnx.executor import OnnxExecutor, exact_products
from p2vit.export.onnx.integer.build import LOGITS, build_onnx_integer
from p2vit.export.onnx.qdq.build import build_onnx_qdq
from p2vit.export.onnx.runtimes import open_session
from p2vit.export.run import noise_pixels
from p2vit.program.format import program_sha256
from p2vit.program.graph import PIXELS, IntegerProgram

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("equality", "accuracy", "speed")
Runner = Callable[[np.ndarray], np.ndarray]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def load_program(arguments: argparse.Namespace) -> IntegerProgram:
    if not arguments.random:
        from p2vit.program.format import load

        return load(arguments.program)
    from p2vit.bench.programs import RandomProgram, meaningful_program

    sizes = {"image": (224, 224), "patch": 14, "dim": 384, "depth": 12, "heads": 6, "mlp": 1536}
    return meaningful_program(RandomProgram(classes=2, form=arguments.form, **sizes).build())


def photos(
    program: IntegerProgram, data: str, limit: int | None, batch: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of pixels and labels; −1 where there are none."""
    if data == "noise":
        pixels = noise_pixels(program, limit or 16)
        for start in range(0, len(pixels), batch):
            part = pixels[start : start + batch]
            yield part, np.full(len(part), -1)
        return
    from p2vit.data.benchmarks import open_photos

    yield from open_photos(data, program.preprocessing).evaluation(limit, batch)


def program_executor(program: IntegerProgram, threads: int) -> Executor:
    """The other side of the comparison: the native engine, or the reference where it was not built."""
    try:
        return NativeExecutor(program, threads=threads)
    except NativeUnavailableError:
        return ReferenceExecutor(program)


def onnxruntime_runner(model: Any, threads: int) -> Runner:
    session = open_session(model, threads=threads)
    return lambda pixels: session.run([LOGITS], {PIXELS: pixels})[0]


def openvino_runner(model: Any, threads: int) -> Runner | None:
    try:
        import openvino
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(model.SerializeToString())
        core = openvino.Core()
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        compiled = core.compile_model(core.read_model(file), "CPU", options)
    return lambda pixels: compiled(pixels)[0]


def contestants(program: IntegerProgram, threads: int) -> dict[str, Callable[[], Runner | None]]:
    """Every exported form in every runtime: name → what makes it, None where the runtime is not installed."""
    makers: dict[str, Callable[[], Runner | None]] = {}
    for products in ("portable", "vnni"):
        try:
            exact_products(products)
        except P2vitError:
            continue
        makers[f"onnx-integer, {products}, ONNX Runtime"] = lambda products=products: onnxruntime_runner(
            build_onnx_integer(program, products=products), threads
        )
    forms = {
        "onnx-qdq": {},
        "onnx-qdq, uint8": {"activations": "uint8"},
        "onnx-qdq, uint8, quantized probabilities": {"activations": "uint8", "quantize_probabilities": True},
        "float": {"quantize": False},
    }
    for name, options in forms.items():
        for runtime, make in (("ONNX Runtime", onnxruntime_runner), ("OpenVINO", openvino_runner)):
            makers[f"{name}, {runtime}"] = lambda make=make, options=options: make(
                build_onnx_qdq(program, **options), threads
            )
    return makers


def equality(program: IntegerProgram, data: str, images: int, threads: int) -> dict[str, Any]:
    """Every tensor of some images, ONNX Runtime against the program's executor."""
    names = [node.name for node in program.nodes]
    executor, exported = program_executor(program, threads), OnnxExecutor(program, threads=threads)
    mismatches, numbers, seen = 0, 0, 0
    for pixels, _ in photos(program, data, images, 4):
        expected, found = executor.run(pixels, names), exported.run(pixels, names)
        mismatches += sum(int((expected[name] != found[name]).sum()) for name in names)
        numbers += sum(expected[name].size for name in names)
        seen += len(pixels)
    return {
        "images": seen,
        "tensors": len(names),
        "numbers": numbers,
        "mismatches": mismatches,
        "against": executor.name,
        "products": exported.products,
    }


class Photos:
    """All evaluation photos, read when they are first wanted."""

    def __init__(self, program: IntegerProgram, data: str, limit: int | None) -> None:
        self._arguments = (program, data, limit, 32)

    @cached_property
    def both(self) -> tuple[np.ndarray, np.ndarray]:
        """uint8 [B, H, W, 3] and labels."""
        say("reading photos")
        pixels, labels = zip(*photos(*self._arguments), strict=True)
        return np.concatenate(pixels), np.concatenate(labels)


def logits_of(name: str, make: Callable[[], Runner | None], source: Photos, cache: Path) -> np.ndarray | None:
    """Logits of all photos, from the cache where a run before this one got so far."""
    file = cache / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.npy"
    if file.is_file():
        return np.load(file, allow_pickle=False)
    runner = make()
    if runner is None:
        return None
    pixels, start = source.both[0], time.perf_counter()
    logits = np.concatenate([runner(pixels[at : at + 8]) for at in range(0, len(pixels), 8)])
    say(f"{name}: {len(pixels)} photos in {time.perf_counter() - start:.0f} s")
    cache.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part.npy")
    np.save(partial, logits)
    partial.replace(file)
    return logits


def accuracy(
    program: IntegerProgram,
    makers: dict[str, Callable[[], Runner | None]],
    source: Photos,
    cache: Path,
    threads: int,
    only: str,
) -> dict[str, Any]:
    """Top-1, agreement with the program and distance from its logits: contestants with ``only`` in their
    name, and those that were measured before.
    """
    spec = program.tensors[program.output]

    def real(stored: np.ndarray) -> np.ndarray:
        return spec.real(stored.reshape(-1, *spec.shape)).reshape(len(stored), -1)

    integers = logits_of("program", lambda: program_executor(program, threads).logits, source, cache)
    assert integers is not None
    labels = source.both[1]
    expected, known = real(integers), bool((labels >= 0).all())
    rows = {"integer program": row(expected, expected, labels, known)}
    for name, make in makers.items():
        logits = logits_of(name, make if only in name else lambda: None, source, cache)
        if logits is None:
            continue
        if name.startswith("onnx-integer"):
            different = int((logits != integers).sum())
            rows[name] = row(expected, real(logits), labels, known) | {"different_logits": different}
        else:
            rows[name] = row(expected, logits, labels, known)
    return {"images": len(labels), "rows": rows}


def row(expected: np.ndarray, logits: np.ndarray, truth: np.ndarray, known: bool) -> dict[str, Any]:
    best = logits.argmax(axis=1)
    noise = float(((expected - logits) ** 2).sum())
    return {
        "top1": round(100 * float((best == truth).mean()), 2) if known else None,
        "agreement": round(100 * float((best == expected.argmax(axis=1)).mean()), 2),
        "logit_sqnr_db": round(10 * float(np.log10((expected**2).sum() / noise)), 1) if noise else None,
        "max_abs_diff": float(np.abs(expected - logits).max()),
    }


def speed(
    program: IntegerProgram, makers: dict[str, Callable[[], Runner | None]], rounds: int, threads: int
) -> dict[str, dict[str, float]]:
    """Median milliseconds per image, batch 1 and 8, contestants interleaved."""
    made = {name: make() for name, make in makers.items()}
    made["integer program"] = program_executor(program, threads).logits
    runners = {name: runner for name, runner in made.items() if runner}
    result: dict[str, dict[str, float]] = {name: {} for name in runners}
    for batch in (1, 8):
        pixels = noise_pixels(program, batch)
        times: dict[str, list[float]] = {name: [] for name in runners}
        for turn in range(rounds + 2):
            for name, runner in runners.items():
                start = time.perf_counter()
                runner(pixels)
                if turn >= 2:
                    times[name].append(time.perf_counter() - start)
        for name, taken in times.items():
            result[name][f"ms_b{batch}"] = round(1e3 * float(np.median(taken)) / batch, 2)
    return result


def table(report: dict[str, Any]) -> str:
    lines = ["| form | top-1 % | agreement % | logits SQNR dB | ms b1 | ms b8 |", "|---|---|---|---|---|---|"]
    for name, entry in report.get("accuracy", {}).get("rows", {}).items():
        times = report.get("speed", {}).get(name, {})
        cells = [
            entry["top1"],
            entry["agreement"],
            entry["logit_sqnr_db"],
            times.get("ms_b1"),
            times.get("ms_b8"),
        ]
        lines.append(f"| {name} | " + " | ".join("–" if cell is None else f"{cell}" for cell in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", nargs="?", type=Path)
    parser.add_argument("--random", action="store_true", help="random integers of DINOv2-S's shape")
    parser.add_argument("--form", default="linear", choices=["linear", "log2"], help="softmax of --random")
    parser.add_argument("--data", default="elpv")
    parser.add_argument("--name", required=True, help="results/onnx/NAME.json")
    parser.add_argument("--images", type=int, default=8, help="for the equality of every tensor")
    parser.add_argument("--limit", type=int, help="photos for accuracy; all by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--stages", default=",".join(STAGES), help=f"some of {', '.join(STAGES)}")
    parser.add_argument(
        "--only", default="", help="accuracy of contestants with this in their name, e.g. qdq"
    )
    arguments = parser.parse_args()
    stages = arguments.stages.split(",")
    if bool(arguments.program) == arguments.random or not set(stages) <= set(STAGES):
        parser.error(f"give a PROGRAM folder or --random, and stages among {', '.join(STAGES)}")
    program = load_program(arguments)
    sha256, threads = program_sha256(program), arguments.threads
    file = ROOT / "results" / "onnx" / f"{arguments.name}.json"
    before = json.loads(file.read_text()) if file.is_file() else {}
    report: dict[str, Any] = {
        "name": arguments.name,
        "program_sha256": sha256,
        "data": arguments.data,
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": threads,
        },
        "versions": {"onnxruntime": onnxruntime().__version__},
    }
    if before.get("program_sha256") == sha256 and before.get("data") == arguments.data:
        report |= {stage: before[stage] for stage in STAGES if stage in before}
    makers = contestants(program, threads)
    source = Photos(program, arguments.data, arguments.limit)
    cache = ROOT / "out" / "onnx" / f"{sha256[:16]}-{arguments.data}-{arguments.limit or 'all'}"
    measure: dict[str, Callable[[], Any]] = {
        "equality": lambda: equality(program, arguments.data, arguments.images, threads),
        "accuracy": lambda: accuracy(program, makers, source, cache, threads, arguments.only),
        "speed": lambda: speed(program, makers, arguments.rounds, threads),
    }
    for stage in stages:
        say(stage)
        report[stage] = measure[stage]()
        if stage == "speed":
            report["machine"]["load_average"] = os.getloadavg()[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report.get("equality")))
    print(table(report))


if __name__ == "__main__":
    main()
