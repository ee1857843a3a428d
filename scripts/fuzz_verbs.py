"""Every verb with odd inputs and odd values of every option, each case watched from outside.

Prints one line of JSON with the counts and exits with 1 if there is a failure. A case may succeed, be refused, or be
stopped after some seconds as by Ctrl-C; it may not exit with another status than 0, 1, 2 and 130, show a traceback,
hang, wait for a FIFO, fill the memory, or print anything but one object under ``--json``. Run one case alone, in this
process: ``python scripts/fuzz_verbs.py --only SEED``.
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


def work(first: int, last: int, step: int, options: argparse.Namespace) -> None:
    """Run cases and print a line of JSON for each; the number of a case is printed before it begins."""
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    from support.verb_cases import VerbCases

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    program = Path(options.program).resolve() if options.program else None
    with tempfile.TemporaryDirectory() as place:
        answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what libraries print does not mix with the answers
        cases = VerbCases(Path(place) / "here", program)
        for seed in range(first, last, step):
            if options.seconds and time.time() > options.until:
                break
            print(json.dumps({"begins": seed}), file=answers, flush=True)
            found = cases.run(seed)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(json.dumps({"seed": seed, "peak_mib": peak, **vars(found)}), file=answers, flush=True)


def main() -> int:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="cases")
    parser.add_argument("--first", type=int, default=0, help="seed of the first case")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seconds", type=float, default=0, help="begin no case after so many seconds")
    parser.add_argument("--program", help="folder of a program to use as well, such as one of digits")
    parser.add_argument("--only", type=int, help="run this one case here")
    parser.add_argument("--until", type=float, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker or options.only is not None:
        work(*(options.worker or (options.only, options.only + 1, 1)), options)
        return 0
    start, last = time.monotonic(), options.first + options.count
    command = [sys.executable, __file__, "--seconds", str(options.seconds)]
    command += ["--until", str(time.time() + options.seconds)]
    command += ["--program", options.program] if options.program else []
    rows, accidents = run_all(
        [Watched(command, options.first + job, last, options.jobs) for job in range(options.jobs)]
    )
    failures = [text for row in rows for text in row["failures"]]
    report = {
        "cases": len(rows) + len(accidents),
        "verbs": len({row["verb"] for row in rows}),
        "options": len({(row["verb"], name) for row in rows for name in row["options"]}),
        "exits": dict(sorted(Counter(str(row["code"]) for row in rows).items())),
        "exits_by_verb": dict(sorted(Counter(f"{row['verb']} {row['code']}" for row in rows).items())),
        "signals_and_hangs": len(accidents),
        "failures": len(failures),
        "first_failures": (accidents + failures)[:20],
        "peak_mib": max((row["peak_mib"] for row in rows), default=0),
        "longest_s": max((row["seconds"] for row in rows), default=0),
        "seconds": round(time.monotonic() - start, 1),
        "first_seed": options.first,
    }
    print(json.dumps(report))
    return int(bool(failures or accidents))


if __name__ == "__main__":
    sys.exit(main())
