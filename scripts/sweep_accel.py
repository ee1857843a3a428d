"""More hardware is never slower: every shipped machine of chunks × known model × 8 and 4 bits, counted.

Run: python scripts/sweep_accel.py [OUT.json]    (default results/accel/growth.json; make sweep)
"""

import json
import sys
import time
from pathlib import Path

from p2vit.accel.machine.description import LoadStoreMachine
from p2vit.accel.machine.growth import larger
from p2vit.accel.machine.machines import known_machines, load_machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.workload.resolve import known_models, workload_of
from p2vit.accel.workload.vit import Precision


def main() -> int:
    """Compare, print every machine that got slower, write the counts."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/accel/growth.json")
    names = [name for name in known_machines() if not isinstance(load_machine(name), LoadStoreMachine)]
    pairs = compared = unfit = 0
    slower = []
    started = time.process_time()
    for model in known_models():
        for bits in (8, 4):
            workload = workload_of(model, Precision(bits))
            for name in names:
                machine = load_machine(name)
                before = map_workload(machine, workload).timing
                pairs += 1
                if before is None:
                    unfit += 1
                    continue
                for what, grown in larger(machine):
                    after = map_workload(grown, workload).timing
                    compared += 1
                    if after is None or after.cycles > before.cycles:
                        cycles = after and after.cycles
                        slower.append({"machine": name, "model": model, "bits": bits, "more": what,
                                       "cycles": before.cycles, "then": cycles})  # fmt: skip
                        print(slower[-1], flush=True)
    found = {
        "made_by": "python scripts/sweep_accel.py",
        "machines": names,
        "models": len(known_models()),
        "pairs_of_machine_and_model": pairs,
        "of_these_unfit": unfit,
        "larger_machines_compared": compared,
        "slower": slower,
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"{compared} larger machines, {len(slower)} slower; written to {out}")
    return bool(slower)


if __name__ == "__main__":
    raise SystemExit(main())
