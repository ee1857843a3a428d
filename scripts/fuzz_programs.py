"""Damaged program files through loading, the audit, the engines and the verbs, each case watched from outside.

Prints one JSON object with the counts and exits with 1 if there is a failure. A case may be refused or run; it may
not end the process, hang, fill the memory, exit with another status than 0, 1 and 2, or compute other integers than
the reference. Run one case alone, in this process: ``python scripts/fuzz_programs.py --only SEED``.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.watched import Watched, run_all  # noqa: E402

#: Bytes of address space that a worker may have.
ADDRESS_SPACE = 12 << 30


def work(first: int, last: int, step: int, program: str | None) -> None:
    """Run cases and print a line of JSON for each; the number of a case is printed before it begins."""
    from support.walk import Walk

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    files = Walk.made()
    if program:
        files.append(
            tuple((Path(program) / name).read_bytes() for name in ("program.json", "tensors.safetensors"))
        )
    with tempfile.TemporaryDirectory() as place:
        walk = Walk(Path(place), files)
        answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what libraries print does not mix with the answers
        for seed in range(first, last, step):
            print(json.dumps({"begins": seed}), file=answers, flush=True)
            found = walk.run(seed)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            kind = walk.case(seed)[0]
            line = {"seed": seed, "kind": kind, "peak_mib": peak, **vars(found)}
            print(json.dumps(line), file=answers, flush=True)


def main() -> int:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="cases")
    parser.add_argument("--first", type=int, default=0, help="seed of the first case")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--program", help="folder of a program to damage as well, such as one of digits")
    parser.add_argument("--only", type=int, help="run this one case here")
    parser.add_argument("--worker", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(*options.worker, options.program)
        return 0
    if options.only is not None:
        work(options.only, options.only + 1, 1, options.program)
        return 0
    start, last = time.monotonic(), options.first + options.count
    command = [sys.executable, __file__] + (["--program", options.program] if options.program else [])
    rows, accidents = run_all(
        [Watched(command, options.first + job, last, options.jobs) for job in range(options.jobs)]
    )
    failures = [text for row in rows for text in row["failures"]]
    exits = Counter(f"{verb} {code}" for row in rows for verb, code in row["exits"])
    report = {
        "cases": len(rows) + len(accidents),
        "loaded": sum(row["loaded"] for row in rows),
        "refused": sum(not row["loaded"] for row in rows),
        "kinds": dict(sorted(Counter(row["kind"] for row in rows).items())),
        "exits": dict(sorted(exits.items())),
        "other_exits": sum(n for name, n in exits.items() if name.split()[1] not in ("0", "1", "2")),
        "signals_and_hangs": len(accidents),
        "failures": len(failures),
        "first_failures": (accidents + failures)[:20],
        "peak_mib": max((row["peak_mib"] for row in rows), default=0),
        "seconds": round(time.monotonic() - start, 1),
        "first_seed": options.first,
    }
    print(json.dumps(report, indent=1))
    return int(bool(failures or accidents))


if __name__ == "__main__":
    sys.exit(main())
