"""Peak memory and load time of the native engine for a DeiT-B of random integers, in a process of its own.

python scripts/native_footprint.py results/native/footprint.json
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 9
DEIT_B = {
    "image": (224, 224),
    "patch": 16,
    "dim": 768,
    "depth": 12,
    "heads": 12,
    "mlp": 3072,
    "classes": 1000,
}


def megabytes(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


def child(folder: str) -> None:
    import numpy as np

    from p2vit.engine.native import NativeExecutor, status
    from p2vit.program.format import load

    status()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    base = megabytes("VmRSS")
    start, cpu = time.perf_counter(), time.process_time()
    program = load(folder)
    loaded, load_peak = time.perf_counter(), megabytes("VmHWM") - base
    Path("/proc/self/clear_refs").write_text("5")
    held = megabytes("VmRSS") - base
    begin = time.perf_counter()
    executor = NativeExecutor(program, threads=2)
    packed, cpu = time.perf_counter(), time.process_time() - cpu
    executor.run(np.zeros((1, 224, 224, 3), np.uint8))
    executor.run(np.zeros((8, 224, 224, 3), np.uint8))
    print(
        json.dumps(
            {
                "interpreter_mb": round(base, 1),
                "program_mb": round(held, 1),
                "peak_while_reading_the_file_mb": round(load_peak, 1),
                "peak_while_packing_and_running_mb": round(megabytes("VmHWM") - base, 1),
                "read_and_check_seconds": round(loaded - start, 3),
                "pack_seconds": round(packed - begin, 3),
                "load_cpu_seconds": round(cpu, 3),
                "packed_weights_mb": round(executor.memory["weights"] / 2**20, 1),
                "arena_mb": round(executor.memory["arena"] / 2**20, 1),
                "isa": executor.isa,
            }
        )
    )


def main(target: str) -> None:
    from p2vit.bench.programs import RandomProgram
    from p2vit.program.format import save

    with tempfile.TemporaryDirectory() as folder:
        runs = {}
        for bits in (8, 4):
            save(RandomProgram(**DEIT_B, weight_bits=bits).build(), f"{folder}/w{bits}")
            command = [sys.executable, __file__, "--child", f"{folder}/w{bits}"]
            results = [
                json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                for _ in range(RUNS)
            ]
            runs[f"w{bits}a8"] = {
                key: value if isinstance(value, str) else statistics.median(r[key] for r in results)
                for key, value in results[0].items()
            }
            whole = [r["read_and_check_seconds"] + r["pack_seconds"] for r in results]
            runs[f"w{bits}a8"] |= {
                "load_seconds": round(statistics.median(whole), 3),
                "fastest_load_seconds": round(min(whole), 3),
            }
    report = {
        "command": f"python scripts/native_footprint.py {target}",
        "model": f"DeiT-B, random integers, median of {RUNS} processes",
        "load_average": os.getloadavg()[0],
        **runs,
    }
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        child(sys.argv[2])
    else:
        main(sys.argv[1])
