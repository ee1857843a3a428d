"""Yosys and ABC on one module: cells, area and delay of its logic, before layout.

Memories that are written (row memories, loaded tables) are cut out: their bits are counted and their outputs
become inputs, as a memory macro's would be. Fixed tables become logic.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from p2vit.rtl.synthesis.liberty import Liberty
from p2vit.rtl.tools.missing import RtlError
from p2vit.rtl.tools.verilog import scratch_folder, to_verilog
from p2vit.rtl.tools.yosys import run_yosys

#: ABC without SAT sweeping, which does not end on multipliers.
_ABC = "strash;&get,-n;&syn3;&syn3;&nf;&put;buffer,-c;topo;upsize,{D};dnsize,{D};stime,-p"
_ABC_GENERIC = "strash;&get,-n;&syn3;&syn3;&nf;&put"
_GENERIC = "AND,NAND,OR,NOR,XOR,XNOR,MUX"
#: Seconds for one module.
TIMEOUT = 900


@dataclass(frozen=True)
class Synthesis:
    """What synthesis says of one module.

    Attributes:
        name: Of the module.
        cells: Library cells, or generic gates and flip-flops without a library.
        flip_flops: Of these.
        memory_bits: In memories that were cut out; not in the area.
        area_um2: Of the cells; None without a library.
        gate_equivalents: Area over the smallest NAND2's, or the number of generic gates.
        logic_delay_ns: Longest path between registers or ports by ABC, without wires and flip-flop times; None
            without a library.
        cells_by_type: Cell → how many.
    """

    name: str
    cells: int
    flip_flops: int
    memory_bits: int
    area_um2: float | None
    gate_equivalents: float
    logic_delay_ns: float | None
    cells_by_type: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def synthesize(module: Any, name: str, liberty: Liberty | None, netlist: Path | None = None) -> Synthesis:
    """Synthesise one module.

    Multipliers are tried in Yosys' own form and as Booth multipliers; the smaller result counts, so that modules with
    multipliers are not put at a disadvantage.

    Args:
        module: A component.
        name: Name of its top module.
        liberty: The cells; None counts generic gates.
        netlist: Where to write the mapped netlist (Verilog).

    Raises:
        MissingPackageError: Amaranth or pyosys is not installed.
        RtlError: synthesis fails.
    """
    verilog = to_verilog(module, name)
    found = []
    for booth in (False, True) if "*" in verilog else (False,):
        with scratch_folder() as place:
            folder = Path(place)
            (folder / "design.v").write_text(verilog, encoding="utf-8")
            run_yosys(_passes(name, liberty, booth), f"synthesis of {name}", folder, timeout=TIMEOUT)
            mapped = (folder / "netlist.v").read_text(encoding="utf-8")
            found.append((_read(folder, name, liberty), mapped))
    best, mapped = min(found, key=lambda pair: pair[0].gate_equivalents)
    if netlist:
        body = re.sub(r"\A/\*.*?\*/\n", "", mapped, flags=re.DOTALL)
        netlist.write_text(body, encoding="utf-8")
    return best


def _passes(top: str, liberty: Liberty | None, booth: bool) -> list[str]:
    """The whole flow, one Yosys pass per line."""
    library = f'"{liberty.path}"' if liberty else ""
    passes = [
        "read_verilog design.v",
        f"hierarchy -check -top {top}",
        "proc",
        "flatten",
        "opt",
        "memory_dff",
        "memory_collect",
        "memory_map -rom-only",
        "dump -o memory.il t:$mem_v2",
        "delete t:$mem_v2",
        "setundef -undriven -expose",
        "opt",
        "wreduce",
        "peepopt",
        "opt_clean",
        *(["booth"] if booth else []),
        "alumacc",
        "opt",
        "techmap",
        "opt",
    ]
    if liberty:
        passes += [
            f"dfflibmap -liberty {library}",
            "opt_clean",
            f"tee -o abc.log abc -liberty {library} -script +{_ABC}",
            "opt_clean",
            f"tee -o stat.json stat -json -liberty {library}",
        ]
    else:
        passes += ["dfflegalize -cell $_DFF_P_ 01", f"abc -g {_GENERIC} -script +{_ABC_GENERIC}"]
        passes += ["opt_clean", "tee -o stat.json stat -json"]
    return [*passes, "write_verilog -noattr -noexpr netlist.v"]


def _json(path: Path) -> Any:
    """The JSON object of a log that may have other lines around it."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


def _read(folder: Path, name: str, liberty: Liberty | None) -> Synthesis:
    """Figures from the logs.

    Raises:
        RtlError: a log has not what it must.
    """
    design = _json(folder / "stat.json")["design"]
    by_type = {
        key.lstrip("$_").rstrip("_"): _count(value) for key, value in design["num_cells_by_type"].items()
    }
    sequential = re.compile(r"dff|latch|^df|^lat", re.IGNORECASE)
    flops = sum(count for cell, count in by_type.items() if sequential.search(cell))
    bits = _memory_bits((folder / "memory.il").read_text(encoding="utf-8"))
    cells = sum(by_type.values())
    if not liberty:
        return Synthesis(name, cells, flops, bits, None, float(cells), None, by_type)
    if unmapped := sorted(set(by_type) - set(liberty.areas)):
        raise RtlError(f"synthesis of {name}: {liberty.path} has no cell for {', '.join(unmapped)}")
    area = sum(liberty.areas[cell] * count for cell, count in by_type.items())
    delays = re.findall(r"Delay =\s*([\d.]+) ps", (folder / "abc.log").read_text(encoding="utf-8"))
    delay = float(delays[-1]) / 1000 if delays else None
    return Synthesis(
        name,
        cells,
        flops,
        bits,
        round(area, 3),
        round(area / liberty.nand2, 1),
        delay,
        dict(sorted(by_type.items())),
    )


def _memory_bits(rtlil: str) -> int:
    """Bits of the memories in a dump: words times width of each."""
    sizes, widths = (
        [int(value.split("'")[1], 2) if "'" in value else int(value) for value in found]
        for found in (re.findall(rf"parameter \\{key} (\S+)", rtlil) for key in ("SIZE", "WIDTH"))
    )
    return sum(size * width for size, width in zip(sizes, widths, strict=True))


def _count(value: Any) -> int:
    """A count of ``stat -json``: a number, or an object that holds it, by version."""
    return int(value["count"] if isinstance(value, dict) else value)
