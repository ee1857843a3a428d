"""Measure integer programs on a CUDA GPU: exactness, speed and energy, beside the float16 model.

    python scripts/measure_gpu.py prepare out/deit_tiny_patch16_224 -o out/gpu         # on any machine
    python scripts/measure_gpu.py measure out/gpu --seconds 340 -o out/gpu.json        # on the GPU machine
    python scripts/measure_gpu.py table out/gpu.json -o out/gpu.yaml                   # for `p2vit compare --gpu`

`prepare` takes programs that are named after timm's architecture. It replaces the weights of the linear layers by
seeded random integers of the same spread, so that a program of any size travels as a small file, and stores the
SHA-256 of every tensor that the reference back-end computes. `measure` needs torch, timm and nvidia-smi, but not the
compiled part of p2vit. It writes its JSON file after every case, and leaves out the cases that do not fit into the
given time.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gpu_cases import Case, prepare

BATCHES = (1, 8, 32, 128)
#: Batch sizes of the compiled forms, and of the energy.
COMPILED = ENERGY = (1, 8, 128)


class Power:
    """Board power and clock as nvidia-smi reports them, sampled every 50 ms."""

    def __init__(self) -> None:
        """Start sampling, if there is a GPU."""
        self.samples: list[tuple[float, float, float]] = []
        self.process = None
        if not shutil.which("nvidia-smi"):
            return
        query = "power.draw.instant" if "power.draw.instant" in _smi("--help-query-gpu") else "power.draw"
        self.process = subprocess.Popen(
            [
                "nvidia-smi",
                f"--query-gpu={query},clocks.sm",
                "--format=csv,noheader,nounits",
                "--loop-ms=50",
                "--id=0",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process is not None
        for line in self.process.stdout or ():
            try:
                watts, clock = map(float, line.split(","))
                self.samples.append((time.monotonic(), watts, clock))
            except ValueError:
                continue

    def between(self, start: float, end: float) -> tuple[float | None, float | None]:
        """Return the mean power in W and the mean clock in MHz, or None without samples."""
        inside = [each[1:] for each in self.samples if start <= each[0] <= end]
        if not inside:
            return None, None
        watts, clocks = (statistics.fmean(column) for column in zip(*inside, strict=True))
        return round(watts, 1), round(clocks)


def _smi(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["nvidia-smi", *arguments], capture_output=True, text=True, timeout=20
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


class Bench:
    """Times functions on the device and records rows.

    Attributes:
        found: Contents of the JSON file.
        end: Time at which the run must end.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        """Describe the machine and start to sample its power."""
        import torch

        self.options, self.torch, self.device = options, torch, options.device
        self.end = time.monotonic() + options.seconds
        self.power = Power() if self.device == "cuda" else None
        self.found: dict[str, Any] = {
            "command": "python scripts/measure_gpu.py " + " ".join(sys.argv[1:]),
            "machine": self._machine(),
            "verified": [],
            "rows": [],
            "energy": [],
            "compiled_ahead": [],
            "problems": [],
        }

    def _machine(self) -> dict[str, Any]:
        from importlib.metadata import PackageNotFoundError, version

        versions = {"python": platform.python_version(), "torch": self.torch.__version__}
        for package in ("triton", "timm", "numpy"):
            try:
                versions[package] = version(package)
            except PackageNotFoundError:
                continue
        gpu = {}
        if self.device == "cuda":
            properties = self.torch.cuda.get_device_properties(0)
            fields = ("driver_version", "power.limit", "clocks.max.sm", "clocks.sm", "temperature.gpu")
            said = _smi(f"--query-gpu={','.join(fields)}", "--format=csv,noheader").split(", ")
            gpu = {"gpu": properties.name, "multiprocessors": properties.multi_processor_count}
            gpu |= dict(zip(fields, said, strict=False))
        return gpu | {"cpus": os.cpu_count(), "date": time.strftime("%Y-%m-%d"), "versions": versions}

    def save(self) -> None:
        """Write what was measured so far."""
        fresh = self.options.output.with_suffix(".part")
        fresh.write_text(json.dumps(self.found, indent=1) + "\n")
        fresh.replace(self.options.output)

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.end - time.monotonic()

    def wait(self) -> None:
        """Wait until the device has done everything."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def attempt(self, what: str, function: Callable[[], Any], needs: float = 3) -> Any:
        """Run a case, unless too little time is left, and record its failure instead of stopping."""
        if self.left() < needs:
            self.found["problems"].append({"case": what, "left_out": "no time was left"})
            return False
        print(f"[{self.options.seconds - self.left():5.1f} s] {what}", file=sys.stderr, flush=True)
        try:
            function()
            return True
        except Exception as error:
            self.found["problems"].append(
                {"case": what, "error": f"{type(error).__name__}: {str(error)[:600]}"}
            )
            return False
        finally:
            self.save()

    def time(self, function: Callable[[], Any], key: dict[str, Any], **more: Any) -> None:
        """Record the median milliseconds of a call, the device's work included."""
        for _ in range(3):
            function()
        self.wait()
        times: list[float] = []
        start = time.perf_counter()
        while len(times) < 3 or (time.perf_counter() - start < 0.5 and len(times) < 300):
            before = time.perf_counter()
            function()
            self.wait()
            times.append(1e3 * (time.perf_counter() - before))
        low, median, high = (float(np.percentile(times, each)) for each in (25, 50, 75))
        row = key | {
            "median_ms": round(median, 4), "quartiles_ms": [round(low, 4), round(high, 4)], "calls": len(times),
            "images_per_s": round(1e3 * key["batch"] / median, 1), **more,
        }  # fmt: skip
        self.found["rows"].append(row)
        print("   ", json.dumps(row), file=sys.stderr, flush=True)
        self.save()

    def energy(self, function: Callable[[], Any], key: dict[str, Any]) -> None:
        """Record board power and energy per image of a loop of some seconds."""
        if self.power is None or key["batch"] not in ENERGY:
            return
        same = ("model", "kind", "batch")
        if any(all(row[name] == key[name] for name in same) for row in self.found["energy"]):
            return  # The compiled form, which comes first, is measured.
        seconds, several = self.options.loop, 4 if key["batch"] > 8 else 32
        until, calls = time.monotonic() + 0.5, 0
        while time.monotonic() < until:  # The board's power and clocks settle.
            function()
            self.wait()
        start, counter = time.monotonic(), self._millijoules()
        while time.monotonic() - start < seconds:
            for _ in range(several):
                function()
            self.wait()
            calls += several
        end, after = time.monotonic(), self._millijoules()
        images, (watts, clock) = calls * key["batch"], self.power.between(start, end)
        row = key | {
            "seconds": round(end - start, 2), "images": images, "images_per_s": round(images / (end - start), 1),
            "power_w": watts, "clock_mhz": clock,
            "joules_per_image": watts and round(watts * (end - start) / images, 6),
        }  # fmt: skip
        if counter and after:
            row["counter_joules_per_image"] = round((after - counter) / 1e3 / images, 6)
        self.found["energy"].append(row)
        print("   ", json.dumps(row), file=sys.stderr, flush=True)
        self.save()

    def _millijoules(self) -> int | None:
        """Return the driver's energy counter."""
        try:
            import pynvml

            pynvml.nvmlInit()
            return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(0)))
        except Exception:
            return None

    def graphed(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """Record a function's kernels as a CUDA graph and return its replay."""
        for _ in range(2):
            function()
        self.wait()
        graph = self.torch.cuda.CUDAGraph()
        with self.torch.cuda.graph(graph):
            function()
        return graph.replay


def products_in_use(device: str) -> str:
    """Return the dtype in which the batched products of attention are computed."""
    from p2vit.engine.torch.kernels import products

    exact = device == "cuda" and hasattr(products.half_product_is_exact, "__wrapped__")
    return (
        "float16" if exact and products.half_product_is_exact(32, 64, 32, -128, 127, "cuda:0") else "float32"
    )


def integer_cases(bench: Bench, case: Case, batch: int, compiled: bool) -> None:
    """Time the integer program in one form: eager or compiled, and replayed as a CUDA graph."""
    from p2vit.engine.torch.executor import TorchExecutor

    key = {"model": case.name, "kind": "integer", "batch": batch}
    form = "compiled" if compiled else "eager"
    executor = TorchExecutor(case.program, bench.device, compiled=compiled, replay=False)
    pixels = executor.load(case.batch(batch))
    bench.found["products"] = products_in_use(bench.device)
    output = case.program.output
    run = lambda: executor.on_device(pixels)  # noqa: E731
    begin = time.monotonic()
    first = run()
    bench.wait()
    more = {"first_call_s": round(time.monotonic() - begin, 1)}
    wrong = case.wrong_logits(executor.store(first[output]))
    wrong += case.wrong_logits(executor.store(run()[output]))
    bench.time(run, {**key, "form": form}, wrong_logits=wrong, **more)
    if bench.device != "cuda":
        return
    from p2vit.engine.torch.replay import Replays

    replays = Replays(executor.on_device)
    for _ in range(3):
        results = replays(pixels)
    wrong = case.wrong_logits(executor.store(results[output]))
    replay = lambda: replays(pixels)  # noqa: E731
    bench.time(replay, {**key, "form": f"{form}, graph"}, wrong_logits=wrong)
    bench.energy(replay, {**key, "form": f"{form}, graph"})


def float_cases(bench: Bench, case: Case, batch: int, compiled: bool) -> None:
    """Time timm's float16 model in one form."""
    import timm

    torch = bench.torch
    size = case.photos.shape[1:3]
    dtype = torch.float16 if bench.device == "cuda" else torch.float32
    sized = {"img_size": size} if "dinov2" in case.name else {}
    model = timm.create_model(case.name.removesuffix("_224") if sized else case.name, **sized)
    model = model.eval().to(bench.device, dtype)
    if compiled:
        for block in model.blocks:
            block.compile(dynamic=False)
    photos = torch.randn(batch, 3, *size, device=bench.device, dtype=dtype)
    form = "compiled" if compiled else "eager"
    key = {"model": case.name, "kind": str(dtype).removeprefix("torch."), "batch": batch}
    with torch.no_grad():
        run = lambda: model(photos)  # noqa: E731
        bench.time(run, {**key, "form": form})
        if bench.device == "cuda":
            replay = bench.graphed(run)
            bench.time(replay, {**key, "form": f"{form}, graph"})
            bench.energy(replay, {**key, "form": f"{form}, graph"})


def compile_ahead(options: argparse.Namespace) -> None:
    """Compile the forms of one model, so that the cache of TorchInductor holds them."""
    import timm
    import torch

    from p2vit.engine.torch.executor import TorchExecutor

    case = Case(options.prepared / f"{options.model}.zip")
    for batch in options.batches:
        executor = TorchExecutor(case.program, options.device, compiled=True, replay=False)
        found = executor.on_device(executor.load(case.batch(batch)))
        found = executor.on_device(executor.load(case.batch(batch)))
        print(
            case.name, batch, "wrong logits:", case.wrong_logits(executor.store(found[case.program.output]))
        )
        sized = {"img_size": case.photos.shape[1:3]} if "dinov2" in case.name else {}
        model = timm.create_model(case.name.removesuffix("_224") if sized else case.name, **sized)
        model = model.eval().to(options.device, torch.float16)
        block = torch.compile(model.blocks[0], dynamic=False)
        tokens = model.patch_embed.num_patches + model.num_prefix_tokens
        with torch.no_grad():
            block(torch.zeros(batch, tokens, model.embed_dim, device=options.device, dtype=torch.float16))


def measure(options: argparse.Namespace) -> None:
    """Measure every prepared program."""
    bench = Bench(options)
    bench.save()
    files = {file.stem: file for file in options.prepared.glob("*.zip")}
    names = [name for name in options.models.split(",") if name in files] if options.models else sorted(files)
    helpers = []
    if options.device == "cuda" and options.compile:
        environment = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "2"}
        for name in names:
            for batch in COMPILED:
                command = [sys.executable, __file__, "compile", str(options.prepared), name, str(batch)]
                log = (Path(tempfile.gettempdir()) / f"compile-{name}-{batch}.log").open("w+")
                helpers.append((subprocess.Popen(command, env=environment, stdout=log, stderr=log), log))
    cases = {}
    for name in names:

        def check(name: str = name) -> None:
            from p2vit.engine.torch.executor import TorchExecutor

            case = cases[name] = Case(files[name])
            row = case.verify(TorchExecutor(case.program, options.device), options.device)
            bench.found["verified"].append(row)
            print("   ", json.dumps(row), file=sys.stderr)

        bench.attempt(f"verify {name}", check)
    begin = time.monotonic()
    while any(each.poll() is None for each, _ in helpers) and time.monotonic() - begin < options.seconds / 3:
        time.sleep(0.5)
    bench.found["compile_wait_s"] = round(time.monotonic() - begin, 1)
    for each, log in helpers:
        each.kill()
        log.seek(0)
        bench.found["compiled_ahead"].append({"status": each.wait(), "log": log.read()[-400:]})
    plan = [
        (compiled, batch, name)
        for name in cases
        for compiled in ((False, True) if options.compile else (False,))
        for batch in (COMPILED if compiled else BATCHES)
        if not options.batches or batch in options.batches
    ]
    # What matters most comes first: the compiled forms of the first model, and batches 8 and 1 before the others.
    order = {8: 0, 1: 1, 128: 2, 32: 3}
    plan.sort(key=lambda each: (order.get(each[1], 4), list(cases).index(each[2]), not each[0]))
    for compiled, batch, name in plan:
        form = "compiled" if compiled else "eager"
        for kind, function in (("integer", integer_cases), ("float", float_cases)):
            what = f"{kind} {name}, batch {batch}, {form}"
            run = lambda f=function, n=name, b=batch, c=compiled: f(bench, cases[n], b, c)  # noqa: E731
            bench.attempt(what, run, 12)
            if options.device == "cuda":
                bench.torch.cuda.empty_cache()
    bench.save()
    if bench.power is not None and bench.power.process is not None:
        bench.power.process.terminate()
    wrong = sum(row["mismatches"] for row in bench.found["verified"])
    wrong += sum(row.get("wrong_logits", 0) for row in bench.found["rows"])
    print(f"{len(bench.found['rows'])} rows, {wrong} mismatches, {len(bench.found['problems'])} problems")


def table(options: argparse.Namespace) -> None:
    """Write the measurements of energy as the file that `p2vit compare --gpu` reads."""
    found = json.loads(options.found.read_text())
    versions = found["machine"]["versions"]
    models: dict[str, list[str]] = {}
    for row in found["energy"]:
        what = {"integer": "p2vit integers"}.get(row["kind"], row["kind"])
        models.setdefault(row["model"], []).append(
            f'{{precision: "{what}, {row["form"]}", batch: {row["batch"]}, '
            f"images_per_s: {row['images_per_s']}, power_w: {row['power_w']}}}"
        )
    lines = [
        f"# Made from {options.found.name} by scripts/measure_gpu.py.",
        "format: 1",
        f"name: {found['machine']['gpu']}",
        "precision: float16",
        f"software: torch {versions['torch']}",
        f"measured_with: {found['command']}",
        "models:",
    ]
    for model, rows in models.items():
        lines += [f"  {model}:", *(f"    - {row}" for row in rows)]
    options.output.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("prepare", help="make the files that the GPU machine needs")
    verb.add_argument("programs", nargs="+", type=Path)
    verb.add_argument("-o", "--output", type=Path, required=True)
    verb = verbs.add_parser("measure", help="measure on this machine")
    verb.add_argument("prepared", type=Path)
    verb.add_argument("--models", default="", help="names in order, separated by commas")
    verb.add_argument("--batches", type=lambda text: [int(each) for each in text.split(",")], default=[])
    verb.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    verb.add_argument("--seconds", type=float, default=600, help="time for everything")
    verb.add_argument("--loop", type=float, default=1.5, help="seconds of each energy measurement")
    verb.add_argument("--no-compile", dest="compile", action="store_false")
    verb.add_argument("-o", "--output", type=Path, required=True)
    verb = verbs.add_parser("table", help="write the file that `p2vit compare --gpu` reads")
    verb.add_argument("found", type=Path)
    verb.add_argument("-o", "--output", type=Path, required=True)
    verb = verbs.add_parser("compile", help="fill the compiler's cache for one model")
    verb.add_argument("prepared", type=Path)
    verb.add_argument("model")
    verb.add_argument("batches", nargs="+", type=int)
    verb.add_argument("--device", default="cuda")
    options = parser.parse_args()
    verbs_of = {"prepare": prepare, "measure": measure, "table": table, "compile": compile_ahead}
    verbs_of[options.verb](options)


if __name__ == "__main__":
    main()
