"""Random sets of kept tensors on every family, width, form and instruction set: the reference's integers, or not.

Prints one JSON object with the counts and exits with 1 if anything differed.
"""

import argparse
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))


def main() -> int:
    """Run the sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="sets for each family")
    parser.add_argument("--seed", type=int, default=0, help="of the sets")
    options = parser.parse_args()
    from p2vit.engine.native import instruction_sets
    from support.families import FAMILIES, family_program, wrong_subsets

    isas = [name for name, reason in instruction_sets().items() if not reason]
    variants = [(8, "p2vit"), (4, "p2vit"), (8, "p2vit-log2")]
    start, rows = time.monotonic(), []
    for family in FAMILIES:
        row = {"family": family, "subsets": 0, "tensors_compared": 0, "differences": 0, "first": []}
        jobs = [(variant, isa) for variant in variants for isa in isas]
        for index, ((bits, method), isa) in enumerate(jobs):
            count = options.count // len(jobs) + (index < options.count % len(jobs))
            program = family_program(family, bits, method)
            compared, wrong = wrong_subsets(program, isa, count, options.seed + index)
            row["subsets"] += count
            row["tensors_compared"] += compared
            row["differences"] += len(wrong)
            row["first"] += wrong[:3]
        rows.append(row)
    report = {
        "families": rows,
        "subsets": sum(row["subsets"] for row in rows),
        "differences": sum(row["differences"] for row in rows),
        "instruction_sets": isas,
        "variants": [f"w{bits}a8 {method}" for bits, method in variants],
        "threads": [1, 2, 3],
        "batches": [1, 2, 3],
        "seconds": round(time.monotonic() - start, 1),
    }
    print(json.dumps(report, indent=1))
    return int(bool(report["differences"]))


if __name__ == "__main__":
    sys.exit(main())
