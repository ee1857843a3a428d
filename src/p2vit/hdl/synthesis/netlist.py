"""Synthesis of one module with Yosys and ABC: cells, area and logic delay before layout.

Writable memories (row memories, loaded tables) are cut out, like memory macros: their bits are counted, their outputs
become inputs of the logic, and their inputs become outputs. Fixed tables become logic. In a design with repeated
modules, each module is mapped once and the results are joined. Then nets with a high fan-out get buffer trees.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from p2vit.hdl.synthesis.fanout import buffer_trees
from p2vit.hdl.synthesis.liberty import Liberty
from p2vit.hdl.tools.missing import RtlError
from p2vit.hdl.tools.verilog import scratch_folder, to_verilog
from p2vit.hdl.tools.yosys import run_yosys

#: ABC script without SAT sweeping, which does not terminate on multipliers.
_ABC = "strash;&get,-n;&syn3;&syn3;&nf;&put;buffer,-c;topo;upsize,{D};dnsize,{D};stime,-p"
_ABC_GENERIC = "strash;&get,-n;&syn3;&syn3;&nf;&put"
#: Inputs of a memory cell, without its clock.
_MEMORY_INPUTS = "WR_DATA,WR_ADDR,WR_EN,RD_ADDR,RD_EN"
_GENERIC = "AND,NAND,OR,NOR,XOR,XNOR,MUX"
#: Time limit in seconds for one module.
TIMEOUT = 900


@dataclass(frozen=True)
class Synthesis:
    """Synthesis result of one module.

    Attributes:
        name: Name of the module.
        cells: Number of library cells; without a library, of generic gates and flip-flops.
        flip_flops: Number of flip-flops among them.
        memory_bits: Bits in memories that were cut out; they are not part of the area.
        area_um2: Area of the cells in µm²; None without a library.
        gate_equivalents: Area divided by the area of the smallest NAND2; without a library, the number of generic
            gates.
        logic_delay_ns: Longest path between registers or ports by ABC, without wires and flip-flop times; None
            without a library.
        cells_by_type: Cell → number of cells.
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
        """Return the figures as plain values."""
        return asdict(self)


def synthesize(
    module: Any, name: str, liberty: Liberty | None, netlist: Path | None = None, extra_verilog: str = ""
) -> Synthesis:
    """Synthesize one module.

    Multipliers are tried in Yosys' default form and as Booth multipliers. The smaller result is returned, so that the
    comparison is fair to modules with multipliers.

    Args:
        module: Component.
        name: Name of its top module.
        liberty: Cell library; None maps to generic gates.
        netlist: File for the mapped netlist (Verilog); None writes none.
        extra_verilog: Verilog of modules that it instantiates besides its ``separate_modules``.

    Raises:
        MissingPackageError: Amaranth or pyosys is not installed.
        RtlError: Synthesis fails.
    """
    verilog = to_verilog(module, name) + extra_verilog
    repeated = list(module.repeated_modules()) if hasattr(module, "repeated_modules") else []
    found = []
    for booth in (False, True) if "*" in verilog else (False,):
        with scratch_folder() as place:
            folder = Path(place)
            (folder / "design.v").write_text(verilog, encoding="utf-8")
            run_yosys(
                _passes(name, liberty, booth, repeated), f"synthesis of {name}", folder, timeout=TIMEOUT
            )
            mapped, more = (folder / "netlist.v").read_text(encoding="utf-8"), {}
            if liberty and repeated:
                mapped, buffers = buffer_trees(mapped, liberty)
                more = {liberty.buffer[0]: buffers} if liberty.buffer else {}
            found.append((_read(folder, name, liberty, more), mapped))
    best, mapped = min(found, key=lambda pair: pair[0].gate_equivalents)
    if netlist:
        body = re.sub(r"\A/\*.*?\*/\n", "", mapped, flags=re.DOTALL)
        netlist.write_text(body, encoding="utf-8")
    return best


def _passes(top: str, liberty: Liberty | None, booth: bool, repeated: Sequence[str]) -> list[str]:
    """Return the passes of the flow, one Yosys command each."""
    library = f'"{liberty.path}"' if liberty else ""
    names = " ".join(repeated)
    passes = [
        # A clock gate would add a latch and a clock domain.
        "read_verilog -D P2VIT_NO_CLOCK_GATING design.v",
        f"hierarchy -check -top {top}",
        *([f"setattr -mod -set keep_hierarchy 1 {names}"] if names else []),
        "proc",
        "flatten -noscopeinfo",
        "opt",
        "memory_dff",
        "memory_collect",
        "memory_map -rom-only",
        # The data input of a memory is undefined while nothing is written, so it needs no gates then.
        "opt -mux_undef",
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
        ]
    else:
        passes += ["dfflegalize -cell $_DFF_P_ 01", f"abc -g {_GENERIC} -script +{_ABC_GENERIC}"]
    if names:
        passes += [f"setattr -mod -unset keep_hierarchy {names}", "flatten -noscopeinfo"]
    return [
        *passes,
        "opt_clean",
        "dump -o memory.il t:$mem_v2",
        f"select -set cut t:$mem_v2 %ci1:+[{_MEMORY_INPUTS}] w:* %i",
        "expose @cut",
        "delete t:$mem_v2",
        "setundef -undriven -expose",
        f"tee -o stat.json stat -json {f'-liberty {library}' if liberty else ''}",
        "write_verilog -noattr -noexpr netlist.v",
    ]


def cell_counts(path: Path) -> dict[str, int]:
    """Read the number of cells per type from the output of ``stat -json``, which may have other lines around it."""
    text = path.read_text(encoding="utf-8")
    design = json.loads(text[text.index("{") : text.rindex("}") + 1])["design"]
    return {key.lstrip("$_").rstrip("_"): _count(value) for key, value in design["num_cells_by_type"].items()}


def _read(folder: Path, name: str, liberty: Liberty | None, more: dict[str, int]) -> Synthesis:
    """Read the figures from the logs, and add cells that were inserted later.

    Raises:
        RtlError: The library has no cell for a mapped cell type.
    """
    by_type = cell_counts(folder / "stat.json")
    for cell, count in more.items():
        by_type[cell] = by_type.get(cell, 0) + count
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
    delay = max(map(float, delays)) / 1000 if delays else None
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
    """Return the bits of all memories in an RTLIL dump."""
    sizes, widths = (
        [int(value.split("'")[1], 2) if "'" in value else int(value) for value in found]
        for found in (re.findall(rf"parameter \\{key} (\S+)", rtlil) for key in ("SIZE", "WIDTH"))
    )
    return sum(size * width for size, width in zip(sizes, widths, strict=True))


def _count(value: Any) -> int:
    """Return a count of ``stat -json``, which is a number or an object, depending on the version."""
    return int(value["count"] if isinstance(value, dict) else value)
