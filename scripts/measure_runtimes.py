"""Count the integers that ONNX runtimes return otherwise than the program, into results/onnx/runtimes.json.

    python scripts/measure_runtimes.py NAME=PROGRAM:DATA ... --images 100

One row per program and runtime; rows of other programs stay. DATA is ``noise`` or photos as ``p2vit export --data``
takes them. OpenVINO runs with each precision hint.
"""

import argparse
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.engine.registry import fastest
from p2vit.export.onnx.common.model_file import save_model
from p2vit.export.onnx.integer.build import LOGITS, build_onnx_integer
from p2vit.export.onnx.runtimes import package_version, run_onnxruntime, run_openvino
from p2vit.export.run import noise_pixels
from p2vit.program.format import load, program_sha256
from p2vit.workflows.inputs import open_data
from p2vit.workflows.machine import processor

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "results" / "onnx" / "runtimes.json"
RUNNERS = {
    "onnxruntime": run_onnxruntime,
    "openvino": run_openvino,
    "openvino f32": lambda model, threads: run_openvino(model, threads, "f32"),
    "openvino bf16": lambda model, threads: run_openvino(model, threads, "bf16"),
}


def photos(program: Any, data: str, images: int) -> np.ndarray:
    if data == "noise":
        return noise_pixels(program, images)
    batches = open_data(data, program.preprocessing).evaluation(limit=images)
    return np.concatenate([batch for batch, _ in batches])


def rows_of(name: str, folder: Path, data: str, images: int, threads: int) -> list[dict[str, Any]]:
    program = load(folder)
    pixels = photos(program, data, images)
    want = np.concatenate([fastest(program).logits(pixels[at : at + 8]) for at in range(0, len(pixels), 8)])
    rows = []
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "model.onnx"
        save_model(build_onnx_integer(program), file)
        for runtime, make in RUNNERS.items():
            run = make(file, threads)
            found = [run([LOGITS], pixels[at : at + 8])[0] for at in range(0, len(pixels), 8)]
            row = {"program": name, "sha256": program_sha256(program), "data": data, "runtime": runtime}
            row |= {"version": package_version(runtime.split()[0]), "images": len(pixels)}
            row |= {"compared": want.size, "differ": int((np.concatenate(found) != want).sum())}
            print(json.dumps(row), file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("programs", nargs="+", metavar="NAME=PROGRAM:DATA")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    found = json.loads(FILE.read_text("utf-8")) if FILE.is_file() else {"rows": []}
    for entry in arguments.programs:
        name, _, rest = entry.partition("=")
        folder, _, data = rest.rpartition(":")
        rows = rows_of(name, Path(folder), data, arguments.images, arguments.threads)
        found["rows"] = [row for row in found["rows"] if row["program"] != name] + rows
    command = f"python scripts/measure_runtimes.py {shlex.join(sys.argv[1:])}"
    found |= {"command": command, "machine": {"processor": processor()}}
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return int(any(row["differ"] for row in found["rows"]))


if __name__ == "__main__":
    sys.exit(main())
