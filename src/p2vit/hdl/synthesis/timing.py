"""Static timing and power of a mapped netlist with OpenSTA, before layout."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from p2vit.hdl.synthesis.liberty import Liberty
from p2vit.hdl.tools.missing import RtlError, program
from p2vit.hdl.tools.process import run_tool
from p2vit.hdl.tools.verilog import scratch_folder

#: Clock period that every design meets; the slack gives the shortest period.
PERIOD_NS = 1000.0
#: Assumed transitions per net and cycle. Such vectorless figures can be compared with each other, but are no absolute
#: power figures.
ACTIVITY = 0.2

_SCRIPT = """read_liberty "{liberty}"
read_verilog netlist.v
link_design {top}
create_clock -name clk -period {period} {port}
set_input_delay 0 -clock clk [all_inputs]
set_output_delay 0 -clock clk [all_outputs]
report_checks -path_delay max
set_power_activity -global -activity {activity}
report_power
"""


@dataclass(frozen=True)
class StaticTiming:
    """Result of OpenSTA.

    Attributes:
        period_ns: Shortest clock period in ns with flip-flop times, without wires, with an ideal clock; None if no
            path is timed.
        energy_pj: Dynamic energy per cycle in pJ, at an activity of 0.2 on every net (vectorless).
        leakage_uw: Leakage power in µW.
    """

    period_ns: float | None
    energy_pj: float
    leakage_uw: float


def has_sta() -> bool:
    """Return whether OpenSTA is installed."""
    return shutil.which("sta") is not None


def analyse(netlist: Path, top: str, liberty: Liberty, *, clocked: bool = True) -> StaticTiming:
    """Analyse the timing and power of a netlist.

    Args:
        netlist: Mapped Verilog netlist.
        top: Name of the top module.
        liberty: Cell library of the netlist.
        clocked: Whether the design has a port ``clk``; if not, paths run from inputs to outputs.

    Raises:
        RtlError: OpenSTA is not installed, or its output cannot be read.
    """
    with scratch_folder() as place:
        folder = Path(place)
        # OpenSTA does not parse `signed`, which has no meaning in a netlist.
        text = re.sub(r"\bsigned\b ?", "", netlist.read_text(encoding="utf-8"))
        (folder / "netlist.v").write_text(text, encoding="utf-8")
        port = "[get_ports clk]" if clocked else ""
        script = _SCRIPT.format(liberty=liberty.path, top=top, period=PERIOD_NS, port=port, activity=ACTIVITY)
        (folder / "run.tcl").write_text(script, encoding="utf-8")
        words = [program("sta"), "-no_splash", "-exit", "run.tcl"]
        said = run_tool(words, f"timing of {top}", folder=folder, timeout=300)
    slack = re.search(r"(-?[\d.]+)\s+slack", said)
    power = re.search(r"^Total\s+([\d.eE+-]+)\s+([\d.eE+-]+)\s+([\d.eE+-]+)", said, re.MULTILINE)
    if not power or not (slack or "No paths found" in said):
        tail = "\n  ".join(said.splitlines()[-8:])
        raise RtlError(f"timing of {top}: OpenSTA reported no slack or no power\n  {tail}")
    dynamic = float(power[1]) + float(power[2])
    return StaticTiming(
        period_ns=round(PERIOD_NS - float(slack[1]), 4) if slack else None,
        energy_pj=round(dynamic * PERIOD_NS * 1e3, 6),
        leakage_uw=round(float(power[3]) * 1e6, 6),
    )
