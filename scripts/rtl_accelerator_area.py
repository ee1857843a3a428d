"""Standard-cell area of the accelerator's repeated modules, and what share their re-quantizers take.

Run as ``python scripts/rtl_accelerator_area.py results/rtl/accelerator.json``. Memories are cut out. Before layout;
Debian's osu018 cells (``qflow-tech-osu018``).
"""

import json
import sys
from pathlib import Path

from p2vit.hdl.synthesis.liberty import load_liberty
from p2vit.hdl.synthesis.netlist import synthesize
from p2vit.hdl.top.line import Line
from p2vit.hdl.top.machine import MACHINES
from p2vit.hdl.top.primitives import primitives_verilog
from p2vit.hdl.top.vector_lane import VectorLane
from p2vit.hdl.top.weight_bank import WeightBank


def main(target: Path) -> None:
    """Synthesise and write the figures."""
    machine = MACHINES["rtl"]
    library = load_liberty(None)
    assert library, "apt-get install qflow-tech-osu018"
    copies = {"line": machine.lines, "vector_lane": machine.lines, "weight_bank": machine.lanes}
    parts = {"line": Line(machine), "vector_lane": VectorLane(machine), "weight_bank": WeightBank(machine)}
    modules = {}
    for name, module in parts.items():
        found = synthesize(module, f"p2vit_{name}", library, extra_verilog=primitives_verilog())
        row = found.to_json()
        row.pop("cells_by_type")
        modules[name] = row | {"copies": copies[name]}
        print(name, row, file=sys.stderr)
    total = sum(row["area_um2"] * row["copies"] for row in modules.values())
    shift = json.loads((target.parent / "synthesis.json").read_text())["modules"]["requant_shift"]["area_um2"]
    needed = machine.lines + machine.lines
    result = {
        "library": library.name,
        "machine": machine.as_dict(),
        "modules": modules,
        "area_um2": round(total, 1),
        "requantizers": needed,
        "requantizer_share": round(needed * shift / total, 4),
    }
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
