"""Makes an energy and area table for the simulator from synthesis results."""

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from p2vit.accel.machine.technology import load_technology
from p2vit.hdl.synthesis.designs import LINE_LANES

#: Area in the table → design that it comes from.
AREAS = {
    "add32_um2": "add32",
    "multiply16_um2": "multiply16",
    "shift32_um2": "shift32",
    "compare32_um2": "compare32",
    "table_um2": "table",
    "requant_shift_um2": "requant_shift",
    "requant_multiplier8_um2": "requant_multiplier8",
    "requant_multiplier16_um2": "requant_multiplier16",
    "requant_multiplier32_um2": "requant_multiplier32",
    "requant_float32_um2": "requant_float32",
}
#: Energy in the table → design that it comes from.
ENERGIES = {
    "add32_pj": "add32",
    "multiply8_pj": "multiply8",
    "multiply16_pj": "multiply16",
    "multiply32_pj": "multiply32",
    "shift32_pj": "shift32",
    "compare32_pj": "compare32",
    "table_read_pj": "table",
}
#: Designs that the table needs.
NEEDED = sorted({"mac_line", "register32", *AREAS.values(), *ENERGIES.values()})


def technology_table(rows: Mapping[str, Mapping[str, Any]], library: str, node_nm: float, base: str) -> str:
    """Make the YAML text of a table labelled ``measured synthesis``.

    Args:
        rows: Design → its synthesis figures, with ``area_um2`` and, if it was timed, ``energy_pj``.
        library: Name of the cell library.
        node_nm: Technology node of the library in nm.
        base: Shipped table for figures that synthesis does not give: SRAM, DRAM, float32 energies.
    """
    table = load_technology(base)
    area = {key: round(rows[design]["area_um2"], 2) for key, design in AREAS.items()}
    area["mac8_um2"] = round(rows["mac_line"]["area_um2"] / LINE_LANES, 2)
    timed = all(rows[design].get("energy_pj") is not None for design in (*ENERGIES.values(), "register32"))
    energy = table.energy.model_dump()
    if timed:
        energy |= {key: rows[design]["energy_pj"] for key, design in ENERGIES.items()}
        energy["register_bit_pj"] = round(rows["register32"]["energy_pj"] / 32, 6)
    kept = "float32_multiply, float32_add" if timed else "all energies (no OpenSTA at synthesis)"
    data = {
        "name": f"measured synthesis {library}",
        "node_nm": node_nm,
        "sources": [
            f"measured synthesis (pre-layout, no wires) with {library}, {node_nm:g} nm, by Yosys and "
            f"ABC: area of all units; mac8 is 1/{LINE_LANES} of a line of {LINE_LANES} lanes without its row memory",
            *(
                [
                    f"measured synthesis (pre-layout, vectorless, activity 0.2 on every net) with {library}, by "
                    "OpenSTA: energy of add32, multiply8, multiply16, multiply32, shift32, compare32, "
                    "table_read, register_bit"
                ]
                if timed
                else []
            ),
            f"{kept}, SRAM, DRAM, leakage: table {base} ({table.node_nm:g} nm), not rescaled: compare logic with "
            "logic and memory with memory",
        ],
        "energy": energy,
        "area": area,
        "sram": [point.model_dump() for point in table.sram],
        "sram_leakage_mw_per_mib": table.sram_leakage_mw_per_mib,
        "dram_pj_per_bit": dict(table.dram_pj_per_bit),
    }
    text = io.StringIO()
    yaml = YAML()
    yaml.width = 130
    yaml.dump(data, text)
    return "# Made by `p2vit synth`. Synthesis before layout: no wires, no clock tree.\n" + text.getvalue()
