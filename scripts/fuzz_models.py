"""Damaged weight files and configurations through ``p2vit quantize``, each case in a process of its own.

Prints one JSON object with the counts and exits with 1 if there is a failure. A case may be refused (status 2) or
quantized (0); it may not exit otherwise, end by a signal, hang, take much memory, or leave half a program. Run one case
here, with what it prints: ``python scripts/fuzz_models.py --only SEED``.
"""

import argparse
import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

#: Seconds that a case may take; bytes that it may allocate beyond what the libraries hold; MiB that it may use at most.
SECONDS, DATA, PEAK_MIB = 60, 4 << 30, 1500


def child(seed: int, bases: dict, place: Path, answer: int) -> None:
    """Run a case and write what came of it to a pipe."""
    from support.odd_models import run

    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_DATA, (DATA, DATA))
    found = run(seed, bases, place)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    failures = list(found.failures)
    if peak > PEAK_MIB:
        failures.append(f"seed {seed}, {found.kind}: takes {peak} MiB")
    told = {"kind": found.kind, "code": found.code, "failures": failures, "peak_mib": peak}
    os.write(answer, json.dumps(told).encode()[:60000])


def case(seed: int, bases: dict, place: Path) -> dict:
    """One case in a child process."""
    from support.model_damage import KINDS

    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            os.close(reader)
            child(seed, bases, place, writer)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        told = file.read()
    status = os.waitpid(process, 0)[1]
    if told and status == 0:
        return json.loads(told)
    kind = KINDS[seed % len(KINDS)]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        what = f"hangs for {SECONDS} s" if number == signal.SIGALRM else f"ends by signal {number}"
    else:
        what = f"ends its process with {os.WEXITSTATUS(status)}"
    return {"kind": kind, "code": -1, "failures": [f"seed {seed}, {kind}: {what}"], "peak_mib": 0}


def main() -> int:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="cases")
    parser.add_argument("--first", type=int, default=0, help="seed of the first case")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--only", type=int, help="run this one case here")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    torch.set_num_threads(1)
    import p2vit.quant.api
    import p2vit.workflows.quantize  # noqa: F401  (imported once, not in every child)

    for library in ("timm", "transformers"):
        with contextlib.suppress(Exception):  # whatever an installation that does not fit raises
            importlib.import_module(library)
    from support.model_files import originals
    from support.odd_models import make, run

    bases = originals()
    with tempfile.TemporaryDirectory() as folder:
        if options.only is not None:
            print(make(options.only, bases)[0].arguments, run(options.only, bases, Path(folder) / "only"))
            return 0
        start, rows = time.monotonic(), []
        seeds = range(options.first, options.first + options.count)
        if options.jobs == 1:
            rows = [case(seed, bases, Path(folder) / "one") for seed in seeds]
        else:
            rows = in_parallel(options.jobs, seeds, bases, Path(folder))
    failures = [text for row in rows for text in row["failures"]]
    report = {
        "cases": len(rows),
        "quantized": sum(row["code"] == 0 for row in rows),
        "refused": sum(row["code"] == 2 for row in rows),
        "other_exits": sum(row["code"] not in (0, 2) for row in rows),
        "kinds": dict(sorted(Counter(row["kind"] for row in rows).items())),
        "failures": len(failures),
        "first_failures": failures[:20],
        "peak_mib": max(row["peak_mib"] for row in rows),
        "seconds": round(time.monotonic() - start, 1),
        "first_seed": options.first,
    }
    print(json.dumps(report, indent=1))
    return int(bool(failures))


def in_parallel(jobs: int, seeds: range, bases: dict, folder: Path) -> list[dict]:
    """The cases in several processes, each of which forks its own."""
    pipes = []
    for job in range(jobs):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(reader)
            with os.fdopen(writer, "w") as file:
                for seed in seeds[job::jobs]:
                    print(json.dumps(case(seed, bases, folder / str(job))), file=file, flush=True)
            os._exit(0)
        os.close(writer)
        pipes.append(reader)
    rows = []
    for reader in pipes:
        with os.fdopen(reader) as file:
            rows += [json.loads(line) for line in file]
    for _ in range(jobs):
        os.wait()
    return rows


if __name__ == "__main__":
    sys.exit(main())
