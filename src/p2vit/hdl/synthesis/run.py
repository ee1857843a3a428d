"""Runs the synthesis of all designs and formats the results."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from p2vit.errors import did_you_mean
from p2vit.hdl.synthesis.designs import DESIGNS, LANES, TOPS, clocked, extra_verilog
from p2vit.hdl.synthesis.ecp5 import place_and_route
from p2vit.hdl.synthesis.liberty import Liberty
from p2vit.hdl.synthesis.netlist import synthesize
from p2vit.hdl.synthesis.timing import analyse, has_sta
from p2vit.hdl.tools.missing import RtlError

#: Re-quantizer that the others are compared with.
REFERENCE = "requant_shift"


def chosen_designs(names: Sequence[str] | None) -> list[str]:
    """Check design names and return them in a fixed order; without names, return all of ``DESIGNS``.

    Raises:
        RtlError: There is no design of that name.
    """
    known = DESIGNS | TOPS
    for name in names or ():
        if name not in known:
            raise RtlError(f"no design '{name}'.{did_you_mean(name, known)} Designs: {', '.join(known)}")
    return [name for name in known if name in (names or DESIGNS)]


def synthesize_all(
    names: Sequence[str],
    liberty: Liberty | None,
    netlists: Path,
    *,
    ecp5: bool = False,
    progress: Callable[[str, int, int], Any] = lambda *_: None,
) -> dict[str, dict[str, Any]]:
    """Synthesize designs one after the other.

    Args:
        names: Keys of ``DESIGNS`` and ``TOPS``.
        liberty: Cell library; None maps to generic gates.
        netlists: Folder for mapped netlists.
        ecp5: Whether to place and route designs with registers on an ECP5 too.
        progress: Called with "synthesis", the number of designs done, and the number of all designs.

    Returns:
        Design → its figures.

    Raises:
        MissingPackageError: A package is not installed.
        RtlError: A tool fails.
    """
    rows: dict[str, dict[str, Any]] = {}
    for done, name in enumerate(names):
        progress("synthesis", done, len(names))
        make = (DESIGNS | TOPS)[name]
        netlist = netlists / f"{name}.v"
        found = synthesize(make(), name, liberty, netlist, extra_verilog(name))
        row: dict[str, Any] = {**found.to_json(), "lanes": LANES.get(name, 1)}
        row |= {"period_ns": None, "energy_pj": None, "leakage_uw": None}
        if liberty and has_sta():
            row |= asdict(analyse(netlist, name, liberty, clocked=clocked(name)))
        row["ecp5"] = None
        if ecp5 and clocked(name):
            row["ecp5"] = asdict(place_and_route(make(), name, extra_verilog=extra_verilog(name)))
        rows[name] = row
    progress("synthesis", len(names), len(names))
    return rows


def compare(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Compute area, delay and energy of every re-quantizer relative to the shift."""
    if REFERENCE not in rows:
        return {}
    one = rows[REFERENCE]

    def ratio(row: dict[str, Any], key: str) -> float | None:
        return round(row[key] / one[key], 2) if row[key] and one[key] else None

    keys = {
        "area": "gate_equivalents",
        "logic_delay": "logic_delay_ns",
        "period": "period_ns",
        "energy": "energy_pj",
    }
    return {
        name: {label: ratio(row, key) for label, key in keys.items()}
        for name, row in rows.items()
        if name.startswith("requant_")
    }


def describe(rows: dict[str, dict[str, Any]], library: str | None) -> str:
    """Format the results as a Markdown table."""

    def number(value: Any, digits: int = 0) -> str:
        return "–" if value is None else f"{value:,.{digits}f}"

    unit = f"area, µm² ({library})" if library else "area"
    head = ["design", "lanes", "cells", "flip-flops", "memory bits", unit, "GE" if library else "gates"]
    head += ["logic delay, ns", "shortest period, ns", "pJ per cycle"]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for name, row in rows.items():
        values = [
            number(row["lanes"]),
            number(row["cells"]),
            number(row["flip_flops"]),
            number(row["memory_bits"]),
            number(row["area_um2"]),
            number(row["gate_equivalents"]),
            number(row["logic_delay_ns"], 2),
            number(row["period_ns"], 2),
            number(row["energy_pj"], 2),
        ]
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    if routed := {name: row["ecp5"] for name, row in rows.items() if row["ecp5"]}:
        lines += [
            "",
            "| ECP5 | LUT | FF | MULT18X18D | DP16KD | Fmax, MHz |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for name, row in routed.items():
            values = [number(row[key]) for key in ("luts", "flip_flops", "multipliers", "block_rams")]
            lines.append(f"| {name} | {' | '.join(values)} | {number(row['fmax_mhz'], 1)} |")
    return "\n".join(lines)
