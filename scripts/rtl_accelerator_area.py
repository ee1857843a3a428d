"""Standard-cell area of the accelerator's repeated modules, and what share their re-quantizers take.

Run as ``python scripts/rtl_accelerator_area.py results/rtl/accelerator.json``. Memories are cut out. Before layout;
Debian's osu018 cells (``qflow-tech-osu018``).
"""

import json
import sys
from pathlib import Path

from p2vit.rtl.synthesis.liberty import load_liberty
from p2vit.rtl.synthesis.netlist import synthesize
from p2vit.rtl.top.line import Line
from p2vit.rtl.top.machine import MACHINES
from p2vit.rtl.top.primitives import PRIMITIVES
from p2vit.rtl.top.vector_lane import VectorLane
from p2vit.rtl.top.weight_bank import WeightBank


def black_box(verilog: str) -> str:
    """A module's ports without its body: a memory macro in its place."""
    head = verilog[verilog.index("module") : verilog.index(");") + 2]
    return f"(* blackbox *)\n{head.replace('output reg', 'output')}\nendmodule\n"


def main(target: Path) -> None:
    """Synthesise and write the figures."""
    machine = MACHINES["rtl"]
    library = load_liberty(None)
    assert library, "apt-get install qflow-tech-osu018"
    also = "".join(black_box(PRIMITIVES[name]) for name in ("p2vit_ram", "p2vit_byte_ram"))
    copies = {"line": machine.lines, "vector_lane": machine.lines, "weight_bank": machine.lanes}
    parts = {"line": Line(machine), "vector_lane": VectorLane(machine), "weight_bank": WeightBank(machine)}
    modules = {}
    for name, module in parts.items():
        found = synthesize(module, f"p2vit_{name}", library, also=also)
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
