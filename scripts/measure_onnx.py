"""Measure the ONNX exports of a program: equality, accuracy and speed, into results/onnx/NAME.json.

    python scripts/measure_onnx.py PROGRAM --data elpv --name dinov2-elpv-w8a8
    python scripts/measure_onnx.py --random --data noise --name random-dinov2-s

PROGRAM is a folder that ``p2vit quantize`` wrote; ``--random`` takes random integers in the shape of DINOv2
ViT-S/14 instead, which is enough for equality and speed. Speed is measured interleaved: every contestant once
per round.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.engine.executor import Executor
from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import P2vitError
from p2vit.export.onnx_integer import LOGITS, build_onnx_integer
from p2vit.export.onnx_qdq import build_onnx_qdq
from p2vit.export.optional import onnxruntime
from p2vit.export.run import noise_pixels
from p2vit.export.run_onnx import OnnxExecutor, exact_products, open_session
from p2vit.program.graph import PIXELS, IntegerProgram

ROOT = Path(__file__).resolve().parents[1]
Runner = Callable[[np.ndarray], np.ndarray]


def load_program(arguments: argparse.Namespace) -> IntegerProgram:
    if not arguments.random:
        from p2vit.program.format import load

        return load(arguments.program)
    sys.path.insert(0, str(ROOT / "tests"))
    from export.meaningful import meaningful_program

    sizes = {"image": (224, 224), "patch": 14, "dim": 384, "depth": 12, "heads": 6, "mlp": 1536}
    return meaningful_program(classes=2, form=arguments.form, **sizes)


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


def program_executor(program: IntegerProgram) -> Executor:
    """The fastest executor at hand that is not ONNX: the other side of the comparison."""
    try:
        from p2vit.engine.torch_executor import TorchExecutor
    except ImportError:
        return ReferenceExecutor(program)
    return TorchExecutor(program)


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


def contestants(program: IntegerProgram, threads: int) -> dict[str, Runner]:
    """Every exported form in every runtime that is installed."""
    runners: dict[str, Runner | None] = {}
    for products in ("portable", "vnni"):
        try:
            exact_products(products)
        except P2vitError:
            continue
        model = build_onnx_integer(program, products=products)
        runners[f"onnx-integer, {products}, ONNX Runtime"] = onnxruntime_runner(model, threads)
    forms = {
        "onnx-qdq": {},
        "onnx-qdq, uint8": {"activations": "uint8"},
        "onnx-qdq, uint8, quantized probabilities": {"activations": "uint8", "quantize_probabilities": True},
        "float": {"quantize": False},
    }
    for name, options in forms.items():
        model = build_onnx_qdq(program, **options)
        runners[f"{name}, ONNX Runtime"] = onnxruntime_runner(model, threads)
        runners[f"{name}, OpenVINO"] = openvino_runner(model, threads)
    return {name: runner for name, runner in runners.items() if runner}


def equality(program: IntegerProgram, data: str, images: int) -> dict[str, Any]:
    """Every tensor of some images, ONNX Runtime against the program's executor."""
    names = [node.name for node in program.nodes]
    executor, exported = program_executor(program), OnnxExecutor(program)
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


def accuracy(
    program: IntegerProgram, runners: dict[str, Runner], data: str, limit: int | None
) -> dict[str, Any]:
    """Top-1, agreement with the program and distance from its logits, for every runner."""
    executor = program_executor(program)
    spec = program.tensors[program.output]
    collected: dict[str, list[np.ndarray]] = {name: [] for name in runners}
    real, stored, labels = [], [], []
    for pixels, label in photos(program, data, limit, 8):
        logits = executor.logits(pixels)
        stored.append(logits)
        real.append(spec.real(logits.reshape(len(pixels), *spec.shape)).reshape(len(pixels), -1))
        labels.append(label)
        for name, runner in runners.items():
            collected[name].append(runner(pixels))
    expected, integers, truth = np.concatenate(real), np.concatenate(stored), np.concatenate(labels)
    known = bool((truth >= 0).all())
    rows = {"integer program": row(expected, expected, truth, known)}
    for name, parts in collected.items():
        logits = np.concatenate(parts)
        if name.startswith("onnx-integer"):
            different = int((logits != integers).sum())
            real_logits = spec.real(logits.reshape(-1, *spec.shape)).reshape(expected.shape)
            rows[name] = row(expected, real_logits, truth, known) | {"different_logits": different}
        else:
            rows[name] = row(expected, logits, truth, known)
    return {"images": len(truth), "rows": rows}


def row(expected: np.ndarray, logits: np.ndarray, truth: np.ndarray, known: bool) -> dict[str, Any]:
    best = logits.argmax(axis=1)
    noise = float(((expected - logits) ** 2).sum())
    return {
        "top1": round(100 * float((best == truth).mean()), 2) if known else None,
        "agreement": round(100 * float((best == expected.argmax(axis=1)).mean()), 2),
        "logit_sqnr_db": round(10 * float(np.log10((expected**2).sum() / noise)), 1) if noise else None,
        "max_abs_diff": float(np.abs(expected - logits).max()),
    }


def speed(program: IntegerProgram, runners: dict[str, Runner], rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds per image, batch 1 and 8, contestants interleaved."""
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
    for name, entry in report["accuracy"]["rows"].items():
        times = report["speed"].get(name, {})
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
    arguments = parser.parse_args()
    if bool(arguments.program) == arguments.random:
        parser.error("give a PROGRAM folder or --random")
    program = load_program(arguments)
    runners = contestants(program, arguments.threads)
    report = {
        "name": arguments.name,
        "data": arguments.data,
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": arguments.threads,
            "load_average": os.getloadavg()[0],
        },
        "versions": {"onnxruntime": onnxruntime().__version__},
        "equality": equality(program, arguments.data, arguments.images),
        "accuracy": accuracy(program, runners, arguments.data, arguments.limit),
        "speed": speed(program, runners, arguments.rounds),
    }
    file = ROOT / "results" / "onnx" / f"{arguments.name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report["equality"]))
    print(table(report))


if __name__ == "__main__":
    main()
