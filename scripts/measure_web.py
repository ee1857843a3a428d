"""Time a web export beside onnxruntime-web's int8 models in one Chromium, in turns: results/web.json.

    npm install --prefix build/web onnxruntime-web
    python scripts/measure_web.py out/deit-t --onnxruntime-web build/web/node_modules/onnxruntime-web

Two models of ONNX Runtime are timed: its own static QDQ quantization of the same shape with random weights, and the
QDQ export of the program. Everything runs in one thread. A turn runs each contestant once; the first turns warm up.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "everywhere"))

from browser import chromium, opened, served

from p2vit.bench.models import qdq_model, shape_of
from p2vit.export.run import ExportForm, noise_pixels, run_export
from p2vit.program.format import load, program_sha256
from p2vit.workflows.machine import processor

ROOT = Path(__file__).resolve().parents[1]
VARIANTS = ("relaxed", "simd", "scalar")
RUN = """
async ({ variants, models, turns }) => {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = `${location.origin}/ort/`;
  const { load } = await import("/web/index.js");
  const contestants = {};
  for (const variant of variants) {
    const model = await load({ variant });
    const { height, width, channels } = model;
    const pixels = Uint8Array.from({ length: height * width * channels }, (_, i) => (i * 7919) % 256);
    contestants[`p2vit ${variant}`] = () => model.run(pixels);
  }
  for (const [name, { file, type, shape }] of Object.entries(models)) {
    const session = await ort.InferenceSession.create(`/${file}`, { executionProviders: ["wasm"] });
    const count = shape.reduce((product, side) => product * side, 1);
    const Kind = type === "uint8" ? Uint8Array : Float32Array;
    const number = (i) => (type === "uint8" ? (i * 7919) % 256 : ((i * 7919) % 256) / 128 - 1);
    const data = Kind.from({ length: count }, (_, i) => number(i));
    const pixels = new ort.Tensor(type, data, shape);
    contestants[name] = () => session.run({ pixels });
  }
  const times = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let turn = 0; turn < turns; turn++)
    for (const [name, run] of Object.entries(contestants)) {
      const start = performance.now();
      await run();
      times[name].push(performance.now() - start);
    }
  return times;
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", type=Path)
    parser.add_argument("--onnxruntime-web", type=Path, required=True, help="Folder of the npm package.")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=4)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "web.json")
    options = parser.parse_args()
    program = load(options.program)
    height, width, channels = program.pixels.shape
    with tempfile.TemporaryDirectory(prefix="p2vit-web-") as name:
        folder = Path(name)
        pixels = noise_pixels(program, 1)
        run_export(program, "web", folder / "web", pixels=pixels, program_sha256=program_sha256(program))
        run_export(
            program, "onnx-qdq", folder / "export.onnx", ExportForm(activations="uint8"), pixels=pixels
        )
        shutil.copy(qdq_model(shape_of(program), 1, folder / "models"), folder / "static.onnx")
        (folder / "ort").symlink_to((options.onnxruntime_web / "dist").resolve())
        (folder / "index.html").write_text('<!doctype html><script src="/ort/ort.wasm.min.js"></script>')
        models = {
            "onnxruntime-web int8, static QDQ": {
                "file": "static.onnx",
                "type": "float32",
                "shape": [1, channels, height, width],
            },
            "onnxruntime-web int8, QDQ export": {
                "file": "export.onnx",
                "type": "uint8",
                "shape": [1, height, width, channels],
            },
        }
        with served(folder) as address, opened(f"{address}/index.html") as page:
            times = page.evaluate(RUN, {"variants": VARIANTS, "models": models, "turns": options.turns})
    median = {key: statistics.median(values[options.warm_up :]) for key, values in times.items()}
    package = json.loads((options.onnxruntime_web / "package.json").read_text(encoding="utf-8"))
    report = {
        "program": program.provenance.get("source"),
        "processor": processor(),
        "chromium": subprocess.check_output([str(chromium()), "--version"], text=True).split()[1],
        "onnxruntime_web": package["version"],
        "threads": 1,
        "turns": options.turns - options.warm_up,
        "rows": [
            {
                "name": key,
                "median_ms": round(median[key], 1),
                "least_ms": round(min(values[options.warm_up :]), 1),
                "ratio": round(median[key] / median["p2vit relaxed"], 2),
            }
            for key, values in times.items()
        ],
    }
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report["rows"], indent=1))


if __name__ == "__main__":
    main()
