"""More hardware is never slower: every shipped machine × known model × 8 and 4 bits, counted.

The closed form must have no slower case, neither on machines of chunks nor on generated accelerators.

Run: python scripts/sweep_accel.py [OUT.json]    (default results/accel/growth.json; make sweep)
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from p2vit.accel.machine.description import LoadStoreMachine
from p2vit.accel.machine.growth import larger
from p2vit.accel.machine.machines import known_machines, load_machine
from p2vit.accel.mapping import map_workload
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import known_models, workload_of
from p2vit.hdl import growth
from p2vit.hdl.description import description_of
from p2vit.hdl.top.machine import MACHINES


def generated() -> dict[str, Any]:
    """Count larger generated accelerators that are slower, and find the largest loss."""
    compared, pairs, losses = 0, 0, {}
    for name, machine in MACHINES.items():
        grown = [(change, description_of(more, name)) for change, more in growth.larger(machine)]
        for model in known_models():
            for bits in (8, 4):
                workload = workload_of(model, Precision(bits))
                before = map_workload(description_of(machine, name), workload).timing
                if before is None:
                    continue
                pairs += 1
                for change, more in grown:
                    after = map_workload(more, workload).timing
                    compared += 1
                    loss = float("inf") if after is None else 100 * (after.cycles / before.cycles - 1)
                    if loss > 0:
                        losses[name, model, bits, change] = loss
    worst = max(losses, key=losses.__getitem__, default=None)
    return {
        "machines": list(MACHINES),
        "pairs_of_machine_and_model_that_fit": pairs,
        "larger_machines_compared": compared,
        "slower": len(losses),
        "slower_by_size": dict(Counter(change.partition("=")[0] for *_, change in losses)),
        "largest_loss_percent": round(losses[worst], 2) if worst else 0.0,
        "largest_loss": list(worst) if worst else None,
    }


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
        "generated_accelerators": generated(),
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"{compared} larger machines, {len(slower)} slower; written to {out}")
    return bool(slower or found["generated_accelerators"]["slower"])


if __name__ == "__main__":
    raise SystemExit(main())
