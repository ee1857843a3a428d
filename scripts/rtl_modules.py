"""Hardware modules one by one: timing diagrams, waveforms, and the tables of docs/reference/rtl.md.

python scripts/rtl_modules.py diagrams        # docs/reference/rtl/*.svg, and the table of modules in rtl.md
python scripts/rtl_modules.py requantizers    # the table of re-quantizers there, from results/rtl
python scripts/rtl_modules.py trace layernorm layernorm.vcd
python scripts/rtl_modules.py vectors out/rtl-nightly.jsonl results/rtl/vectors.json
"""

import json
import re
import sys
from pathlib import Path

from p2vit.accel.energy.area import area_mm2
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.machine.technology import load_technology
from p2vit.errors import P2vitError
from p2vit.hdl.catalog import CATALOG, example, table
from p2vit.hdl.diagram import timing_diagram
from p2vit.hdl.simulate import ModuleSimulation

ROOT = Path(__file__).parent.parent
DOCS, RESULTS = ROOT / "docs" / "reference", ROOT / "results" / "rtl"


def fill(mark: str, text: str) -> None:
    """Put a text between two marks of docs/reference/rtl.md."""
    page = DOCS / "rtl.md"
    marks = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    whole = page.read_text(encoding="utf-8")
    page.write_text(marks.sub(lambda found: f"{found[1]}{text}\n{found[2]}", whole), encoding="utf-8")


def diagram(name: str) -> str:
    """SVG of one module; the output holds back now and then so that the handshake shows."""
    module, inputs, counts = example(name)
    title = (
        f"{name}: {type(module).__name__}, latency {module.timing.latency}, interval {module.timing.interval}"
    )
    return timing_diagram(
        ModuleSimulation(module, module.key), title, inputs, counts, cycles=40, seed=3, stall={"o": 0.2}
    )


def requantizers() -> str:
    """Area, delay and share of the accelerator's logic of every re-quantizer, from results/rtl."""
    found = json.loads((RESULTS / "synthesis.json").read_text(encoding="utf-8"))
    routed = json.loads((RESULTS / "ecp5.json").read_text(encoding="utf-8"))["modules"]
    technology = load_technology(str(RESULTS / "technology.yaml"))
    lines = [
        "| re-quantizer | area, µm² | GE | × the shift | logic delay, ns | shortest period, ns | "
        "share of the logic of machine `paper` | ECP5: LUT / DSP / MHz |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, ratios in found["against_shift"].items():
        row, fpga = found["modules"][name], routed[name]["ecp5"]
        method = name.removeprefix("requant_")
        share = "–"
        if not method.endswith("_pipelined"):
            machine = edit_machine(load_machine("paper"), {"chunks.requantization.method": method})
            parts = {
                key: value
                for key, value in area_mm2(machine, technology).items()
                if not key.endswith("_buffer")
            }
            # The lanes alone: those of the model also multiply by a row's reciprocal.
            area = getattr(technology.area, f"{name}_um2") * machine.chunks.requantization.lanes / 1e6
            share = f"{100 * area / sum(parts.values()):.1f} %"
        lines.append(
            f"| {method.replace('_', ', ')} | {row['area_um2']:,.0f} | {row['gate_equivalents']:,.0f} | "
            f"{ratios['area']:.1f} | {row['logic_delay_ns']:.2f} | {row['period_ns']:.2f} | {share} | "
            f"{fpga['luts']} / {fpga['multipliers']} / {fpga['fmax_mhz']:.0f} |"
        )
    return "\n".join(lines)


def vectors(log: Path, out: Path) -> None:
    """Sum up the log of ``make rtl-nightly``."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    rows.sort(key=lambda row: (row["module"], row["simulator"]))
    total: dict[str, dict[str, int]] = {}
    for row in rows:
        sums = total.setdefault(
            row["simulator"], {"configurations": 0, "numbers_compared": 0, "mismatches": 0}
        )
        sums["configurations"] += 1
        sums["numbers_compared"] += row["numbers_compared"]
        sums["mismatches"] += row["mismatches"]
    result = {"command": "make rtl-nightly", "total": total, "runs": rows}
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main(words: list[str]) -> int:
    """Run one of the commands."""
    match words:
        case ["diagrams"]:
            (DOCS / "rtl").mkdir(exist_ok=True)
            for name in CATALOG:
                (DOCS / "rtl" / f"{name}.svg").write_text(diagram(name), encoding="utf-8")
            fill("modules", table())
        case ["requantizers"]:
            fill("requantizers", requantizers())
        case ["vectors", log, out]:
            vectors(Path(log), Path(out))
        case ["trace", name, out]:
            module, inputs, counts = example(name)
            ModuleSimulation(module, module.key, trace=True).run(inputs, counts, stall=0.2, trace=Path(out))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except P2vitError as error:
        sys.exit(f"error: {error}")
