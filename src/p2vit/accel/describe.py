"""Markdown pages of machine descriptions; docs/reference/hardware is generated from the shipped files."""

from collections.abc import Sequence

from p2vit.accel.energy.area import area_mm2
from p2vit.accel.machine.description import Machine
from p2vit.accel.machine.technology import load_technology
from p2vit.accel.peers.description import Peer


def machine_page(machine: Machine) -> str:
    """Describe a machine: its chunks and buffers, the published facts and the assumptions.

    Args:
        machine: Machine to describe.

    Returns:
        Markdown text.
    """
    lines = [f"# `{machine.name}`", "", f"{machine.summary}.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in _rows(machine)]
    for title, facts in (("Known", machine.known), ("Assumed", machine.assumed)):
        if facts:
            lines += ["", f"## {title}", "", *(f"- {fact}" for fact in facts)]
    return "\n".join(lines) + "\n"


def counter_design_page(machines: Sequence[Machine]) -> str:
    """Describe several machines on one page, each of which differs from ``paper`` in one property.

    Args:
        machines: Machines to describe.

    Returns:
        Markdown text.
    """
    lines = [
        "# Counter-designs",
        "",
        "What the paper argues against, as descriptions that run. All start from [`paper`](paper.md);"
        " only what is named here differs.",
    ]
    for machine in machines:
        intra = "on" if machine.pipelining.intra_layer else "off"
        lines += ["", f"## `{machine.name}`", ""]
        lines += [f"{machine.summary}. {_requantization(machine)}; intra-layer pipelining {intra}.", ""]
        lines += [f"- {fact}" for fact in machine.assumed]
    return "\n".join(lines) + "\n"


def peers_page(peers: Sequence[Peer]) -> str:
    """Describe the organisations of published accelerators on one page.

    Args:
        peers: Organisations to describe.

    Returns:
        Markdown text.
    """
    lines = [
        "# Peers",
        "",
        "Organisations of published ViT accelerators, as `p2vit compare` models them. They are not copies of the"
        " published designs. Each has the multipliers, clock, DRAM and buffers of the machine that it stands beside,"
        " by default [`fpga`](fpga.md). Only what is named under *differs* is different.",
    ]
    for peer in peers:
        differs = {"lines": peer.lines} if peer.lines else {}
        lines += ["", f"## `{peer.name}`", "", f"{peer.title}. Source: {peer.source}.", ""]
        lines += [f"Organisation: {peer.organisation}; softmax codes: {peer.softmax}.", "", "Known:", ""]
        lines += [*(f"- {fact}" for fact in peer.known), "", "Assumed:", ""]
        lines += [f"- {fact}" for fact in peer.assumed]
        if differs or peer.changes:
            changes = (f"- `{path}`: {value}" for path, value in (differs | peer.changes).items())
            lines += ["", "Differs:", "", *changes]
    return "\n".join(lines) + "\n"


def _rows(machine: Machine) -> list[tuple[str, str]]:
    chunks, buffers, dram, shifters = machine.chunks, machine.buffers, machine.dram, machine.shifters
    array = f"{chunks.mac_array.lines} lines × {chunks.mac_array.lanes_per_line} lanes"
    if machine.dsps:
        array += f", {chunks.mac_array.macs_per_dsp:g} MACs per DSP, {machine.dsps:.0f} DSPs in all"
    lanes = (chunks.layernorm, chunks.softmax, chunks.gelu, chunks.elementwise)
    sizes = tuple(buffers.all.values())
    names = ["score" if name == "accumulator" else name for name in buffers.all]
    rows = [
        ("clock", f"{machine.clock_mhz:g} MHz"),
        ("MAC array", array),
        ("shifter array", f"{shifters.lines} × {shifters.lanes_per_line}" if shifters else "none"),
        ("LayerNorm, softmax, GELU, elementwise lanes", ", ".join(str(chunk.lanes) for chunk in lanes)),
        ("re-quantization", _requantization(machine)),
        (f"{', '.join(names)} buffer", ", ".join(f"{size.size_bytes // 1024} KiB" for size in sizes)),
        ("DRAM", f"{dram.kind}, {dram.bandwidth_gbytes_per_s:g} GB/s, {dram.latency_ns:g} ns"),
    ]
    if not machine.dsps:
        technology = load_technology(machine.technology)
        area = sum(area_mm2(machine, technology).values())
        rows.append(("area, modelled", f"{area:.2f} mm² ({technology.name}; datapaths and SRAM only)"))
    return rows


def _requantization(machine: Machine) -> str:
    chunk = machine.chunks.requantization
    return f"{chunk.method}, {chunk.lanes} lanes, {chunk.pipeline_depth_cycles} stages"
