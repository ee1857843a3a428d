"""Timing diagrams as SVG, drawn from a recorded simulation: valid, ready and beats."""

from html import escape

import numpy as np
from numpy.typing import NDArray

from p2vit.hdl.packing import Words
from p2vit.hdl.simulate import ModuleSimulation

_CELL, _ROW, _LEFT, _TOP = 26, 22, 118, 34
_STYLE = (
    "text{font:11px monospace;fill:#222}.w{fill:none;stroke:#222;stroke-width:1.4}.g{stroke:#ddd}"
    ".b{fill:#dbe9f6;stroke:#222;stroke-width:1.2}.t{fill:#9ec5e8;stroke:#222;stroke-width:1.2}.s{font-weight:bold}"
)


def _level(values: list[int], y: int) -> str:
    """Draw a one-bit waveform."""
    high, low = y + 4, y + _ROW - 6
    points = []
    for cycle, value in enumerate(values):
        height = high if value else low
        points += [f"{_LEFT + cycle * _CELL},{height}", f"{_LEFT + (cycle + 1) * _CELL},{height}"]
    return f'<polyline class="w" points="{" ".join(points)}"/>'


def _beats(valid: list[int], ready: list[int], y: int) -> str:
    """Draw the payload as numbered boxes; a box is dark in the cycle in which its beat is transferred."""
    found, beat = [], 0
    for cycle, (v, r) in enumerate(zip(valid, ready, strict=True)):
        if not v:
            continue
        x = _LEFT + cycle * _CELL
        kind = "t" if r else "b"
        found.append(f'<rect class="{kind}" x="{x}" y="{y + 3}" width="{_CELL}" height="{_ROW - 7}"/>')
        found.append(f'<text x="{x + _CELL // 2}" y="{y + 15}" text-anchor="middle">{beat}</text>')
        beat += r
    return "".join(found)


def draw(title: str, names: list[str], flags: NDArray[np.uint8]) -> str:
    """Draw recorded streams.

    Args:
        title: Title of the diagram.
        names: Names of the streams.
        flags: Recorded handshakes, uint8 [cycles, streams]; bit 0 is valid, bit 1 is ready.

    Returns:
        SVG text with the beats, valid and ready of each stream. Beats are numbered, and dark in the cycle of the
        transfer.
    """
    cycles = len(flags)
    width, height = _LEFT + cycles * _CELL + 10, _TOP + len(names) * (3 * _ROW + 8) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>{_STYLE}</style><title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/><text class="s" x="6" y="14">{escape(title)}</text>',
    ]
    for cycle in range(cycles + 1):
        x = _LEFT + cycle * _CELL
        parts.append(f'<line class="g" x1="{x}" y1="{_TOP - 4}" x2="{x}" y2="{height - 8}"/>')
        if cycle < cycles:
            parts.append(f'<text x="{x + _CELL // 2}" y="{_TOP - 8}" text-anchor="middle">{cycle}</text>')
    y = _TOP
    for index, name in enumerate(names):
        valid, ready = ([int(value >> bit & 1) for value in flags[:, index]] for bit in (0, 1))
        for label, drawn in (
            (f"{name}.payload", _beats(valid, ready, y)),
            (f"{name}.valid", _level(valid, y + _ROW)),
            (f"{name}.ready", _level(ready, y + 2 * _ROW)),
        ):
            parts.append(f'<text x="6" y="{y + 15}">{escape(label)}</text>{drawn}')
            y += _ROW
        y += 8
    return "\n".join([*parts, "</svg>"]) + "\n"


def timing_diagram(
    simulation: ModuleSimulation,
    title: str,
    inputs: dict[str, dict[str, NDArray[np.int64]] | Words],
    counts: dict[str, int],
    *,
    cycles: int = 32,
    seed: int = 0,
    stall: float | dict[str, float] = 0.0,
) -> str:
    """Simulate a module and draw the first cycles.

    Args:
        simulation: Compiled module.
        title: Title of the diagram.
        inputs: Input beats, see :meth:`ModuleSimulation.run`.
        counts: Expected output beats, see :meth:`ModuleSimulation.run`.
        cycles: Number of cycles to draw.
        seed: Random seed of the stalls.
        stall: Probability of a stall per cycle, for all streams or by name.

    Returns:
        SVG text; the same arguments give the same text.
    """
    run = simulation.run(inputs, counts, seed=seed, stall=stall, record=cycles)
    return draw(title, [port.name for port in simulation.ports], run.flags[: max(1, min(cycles, run.cycles))])
