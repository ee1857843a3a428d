"""The figures of docs/explanation/native.md: the native engine beside other runtimes, and beside itself on other
instruction sets.

python scripts/bench_native.py peers results/native/peers.json       # openvino, onnxruntime: int8
python scripts/bench_native.py float results/native/float_peers.json # their float models, and torch
python scripts/bench_native.py own results/native/own.json           # instruction sets, widths, threads
python scripts/bench_native.py profile results/native/profile.json
python scripts/bench_native.py cpu results/native/cpu_time.json      # CPU time of one thread each: for a busy machine

--isa forces the instruction set of peers, float and profile. All but `cpu` need an idle machine.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from p2vit.bench.models import shape_of
from p2vit.bench.peers import PEERS as RUNTIMES
from p2vit.bench.programs import RandomProgram, random_pixels
from p2vit.bench.run import add_peak, executed_macs, profile_of, run_bench, take_turns
from p2vit.engine.native import NativeExecutor, instruction_sets, peak_gmacs
from p2vit.workflows.machine import processor

MODELS = {
    "DeiT-T": {"dim": 192, "heads": 3, "mlp": 768, "patch": 16},
    "ViT-S/16": {"dim": 384, "heads": 6, "mlp": 1536, "patch": 16},
    "DINOv2-S/14": {"dim": 384, "heads": 6, "mlp": 1536, "patch": 14},
}
PEERS = {
    "peers": ["openvino-int8", "onnxruntime-int8"],
    "float": ["openvino-bf16", "openvino-fp32", "onnxruntime-fp32", "torch-bf16", "torch-fp32"],
}


def program_of(model: str, **options: Any) -> Any:
    return RandomProgram(image=(224, 224), depth=12, classes=1000, **MODELS[model], **options).build()


def peers(kind: str, rounds: int, cache: Path, isa: str | None) -> list[dict]:
    rows = []
    for model in MODELS:
        report = run_bench(
            program_of(model), PEERS[kind], (1, 8), threads=2, rounds=rounds, cache=cache, isa=isa
        )
        rows += [{"model": model, **row} for row in report["rows"]]
        for note in report["notes"]:
            print(f"warning: {note}", file=sys.stderr)
        for row in report["rows"]:
            print(model, row, file=sys.stderr)
    # One machine, one instruction, as many threads: the best burst of the whole run is its rate.
    if peaks := [row["peak_gmacs"] for row in rows if "peak_gmacs" in row]:
        add_peak(rows, max(peaks))
    return rows


def own(rounds: int) -> list[dict]:
    """ViT-S/16 beside itself, batch 8; every variant in every round."""
    program, narrow = program_of("ViT-S/16"), program_of("ViT-S/16", weight_bits=4)
    pixels = random_pixels(program, 8)
    usable = [isa for isa, reason in instruction_sets().items() if not reason]
    executors = {f"W8, {isa}, 2 threads": NativeExecutor(program, 2, isa) for isa in usable}
    executors |= {f"W4, {usable[0]}, 2 threads": NativeExecutor(narrow, 2, usable[0])}
    log2 = program_of("ViT-S/16", form="log2")
    executors |= {f"W8, {usable[0]}, 2 threads, log2": NativeExecutor(log2, 2, usable[0])}
    executors |= {f"W8, {usable[0]}, {n} threads": NativeExecutor(program, n, usable[0]) for n in (1, 4)}
    runners = {name: (lambda executor=executor: executor.run(pixels)) for name, executor in executors.items()}
    seconds = take_turns(runners, rounds, calls=1)
    best = statistics.median(seconds[next(iter(seconds))])
    return [
        {
            "name": name,
            "median_ms": round(statistics.median(values) / 8 * 1000, 3),
            "times_the_first": round(statistics.median(values) / best, 3),
        }
        for name, values in seconds.items()
    ]


def profile(isa: str | None) -> list[dict]:
    """Thread time of one image on one thread, by operator."""
    rows = []
    for model in MODELS:
        program = program_of(model)
        executor = NativeExecutor(program, 1, isa)
        steps = profile_of(executor, random_pixels(program, 1), 30)
        peak = max(peak_gmacs(executor.isa, 1) for _ in range(20))
        rows.append(
            {
                "model": model,
                "isa": executor.isa,
                "executed_macs": executed_macs(program),
                "peak_gmacs": round(peak, 1),
                "steps": steps,
            }
        )
    return rows


def cpu_time(rounds: int, cache: Path) -> list[dict]:
    """CPU time per image with one thread: the instruction sets that are in question, and OpenVINO, by turns."""
    rows = []
    usable = [isa for isa, reason in instruction_sets().items() if not reason and isa != "scalar"]
    for model in MODELS:
        program = program_of(model)
        executors = {isa: NativeExecutor(program, 1, isa) for isa in usable[:2]}
        for batch in (1, 8):
            pixels = random_pixels(program, batch)
            entrants = {
                isa: lambda each=each, pixels=pixels: each.run(pixels) for isa, each in executors.items()
            }
            entrants["openvino-int8"] = RUNTIMES["openvino-int8"](shape_of(program), batch, 1, cache).run
            seconds: dict[str, list[float]] = {name: [] for name in entrants}
            for _ in range(rounds):
                for name, run in entrants.items():
                    start = time.process_time()
                    run()
                    seconds[name].append(time.process_time() - start)
            ours = seconds[usable[0]]
            for name, values in seconds.items():
                rows.append(
                    {
                        "model": model,
                        "name": name,
                        "batch": batch,
                        "median_ms": round(statistics.median(values) / batch * 1000, 3),
                        "least_ms": round(min(values) / batch * 1000, 3),
                        "ratio": round(statistics.median(values) / statistics.median(ours), 3),
                        "least_ratio": round(min(values) / min(ours), 3),
                    }
                )
                print(rows[-1], file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["peers", "float", "own", "profile", "cpu"])
    parser.add_argument("target", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--isa")
    parser.add_argument("--cache", type=Path, default=Path("out/bench"))
    options = parser.parse_args()
    match options.kind:
        case "own":
            rows = own(options.rounds)
        case "profile":
            rows = profile(options.isa)
        case "cpu":
            rows = cpu_time(options.rounds, options.cache)
        case kind:
            rows = peers(kind, options.rounds, options.cache, options.isa)
    arguments = f"{options.kind} {options.target} --rounds {options.rounds}"
    if options.isa:
        arguments += f" --isa {options.isa}"
    report = {
        "command": f"python scripts/bench_native.py {arguments}",
        "machine": f"{processor()}, {os.cpu_count()} CPUs, shared",
        "load": f"{os.getloadavg()[0]:.1f} at the end",
        "rows": rows,
    }
    options.target.parent.mkdir(parents=True, exist_ok=True)
    options.target.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
