"""Measure throughput and board power of the GPU at hand, into the file that `p2vit.accel.compare` reads.

    python scripts/measure_gpu.py --precision float16 --batch 8 -o gpu.yaml

Needs a CUDA build of torch, timm, and nvidia-smi. Random weights: speed and power of these models do not
depend on them. Power is the mean of the driver's board power, sampled every 20 ms while the model runs; it
includes the GPU's memory and idle power and excludes the host.
"""

import argparse
import subprocess
import sys
import threading
import time
from pathlib import Path

MODELS = ["deit_tiny_patch16_224", "deit_small_patch16_224", "deit_base_patch16_224"]


class PowerMeter(threading.Thread):
    """Samples board power until stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        command = [
            "nvidia-smi",
            "--query-gpu=power.draw",
            "--format=csv,noheader,nounits",
            "--loop-ms=20",
            "--id=0",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.samples: list[tuple[float, float]] = []

    def run(self) -> None:
        """Read samples."""
        for line in self.process.stdout or ():
            try:
                self.samples.append((time.monotonic(), float(line)))
            except ValueError:
                continue

    def mean_between(self, start: float, end: float) -> float:
        """Mean power, W."""
        inside = [watts for at, watts in self.samples if start <= at <= end]
        if not inside:
            sys.exit("nvidia-smi gave no power samples: this GPU or driver does not report board power")
        return sum(inside) / len(inside)


def main() -> None:
    """Measure every model and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--precision", choices=["float32", "float16", "bfloat16"], default="float16")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10, help="how long each model runs")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    try:
        import timm
        import torch
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed")
    if not torch.cuda.is_available():
        sys.exit("torch sees no CUDA GPU")
    if options.output.exists():
        sys.exit(f"{options.output} exists")

    dtype = getattr(torch, options.precision)
    meter = PowerMeter()
    meter.start()
    rows = []
    for name in options.models:
        model = timm.create_model(name).eval().to("cuda", dtype)
        photos = torch.randn(options.batch, 3, 224, 224, device="cuda", dtype=dtype)
        with torch.inference_mode():
            for _ in range(20):
                model(photos)
            torch.cuda.synchronize()
            start, batches = time.monotonic(), 0
            while time.monotonic() - start < options.seconds:
                for _ in range(10):
                    model(photos)
                torch.cuda.synchronize()
                batches += 10
            end = time.monotonic()
        rate, watts = batches * options.batch / (end - start), meter.mean_between(start, end)
        print(f"{name}: {rate:.1f} images/s, {watts:.1f} W", file=sys.stderr)
        rows.append(f"  {name}: {{batch: {options.batch}, images_per_s: {rate:.2f}, power_w: {watts:.2f}}}\n")
    meter.process.terminate()
    options.output.write_text(
        "format: 1\n"
        f"name: {torch.cuda.get_device_name(0)}\n"
        f"precision: {options.precision}\n"
        f"software: torch {torch.__version__}, timm {timm.__version__}, eager\n"
        f"measured_with: measure_gpu.py --precision {options.precision} --batch {options.batch}"
        f" --seconds {options.seconds:g}\n"
        "models:\n" + "".join(rows)
    )


if __name__ == "__main__":
    main()
