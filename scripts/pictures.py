"""Draw the pictures of docs/ that are made from figures, operators and simulations: docs/images/*.svg.

python scripts/pictures.py [NAME ...]

A test draws each picture again and compares it with the committed file.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from p2vit.accel.chunks.costs import CHUNKS
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.simulate import Run, simulate
from p2vit.accel.workload.resolve import workload_of
from p2vit.numerics import Softmax
from p2vit.report.charts.bars import bars
from p2vit.report.charts.columns import sensitivity_plot
from p2vit.report.charts.gantt import PARTS, gantt
from p2vit.report.charts.svg import (
    BLUE,
    GREY,
    GRID,
    ORANGE,
    SOFT,
    VERMILION,
    circle,
    document,
    line,
    polyline,
    rect,
    text,
)

ROOT = Path(__file__).parent.parent
RESULTS, IMAGES = ROOT / "results", ROOT / "docs" / "images"
#: Seconds that the animation of one block takes.
ANIMATION_SECONDS = 20


def of_results(name: str) -> dict:
    """Read a file of results/."""
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def sensitivity() -> str:
    """SQNR after each block of DINOv2 ViT-S/14."""
    return sensitivity_plot(of_results("elpv-w8a8.json")["blocks"])


def memory() -> str:
    """Flash and RAM of the program of the tutorial, from its table."""
    page = (ROOT / "docs" / "tutorials" / "ship.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \|$", page, re.MULTILINE)
    kilobytes = [(name, int(number.replace(",", "")) / 1000) for name, number in rows]
    return bars(kilobytes, "kB", "The digits program in C", labels=190)


def simulated(model: str = "deit_tiny_patch16_224") -> Run:
    """Run the event-driven simulation of a model on the machine `paper`."""
    return simulate(workload_of(model), load_machine("paper"), "events")


def middle_block(run: Run) -> int:
    """Return the section of the block in the middle."""
    blocks = [number for number, own in enumerate(run.plan.operations) if own[0].block >= 0]
    return blocks[len(blocks) // 2]


def block() -> str:
    """The schedule of one block of DeiT-T on the machine `paper`."""
    run = simulated()
    tiles = [tile for tile in run.timing.tiles if tile.section == middle_block(run)]
    return gantt(run, min(tile.start for tile in tiles), max(tile.end for tile in tiles), width=900)


def rows() -> str:
    """Row groups on the chunks over one block, as an animation."""
    run = simulated()
    section = middle_block(run)
    operations = run.plan.operations[section]
    tiles = [tile for tile in run.timing.tiles if tile.section == section]
    first, last = min(tile.start for tile in tiles), max(tile.end for tile in tiles)
    counted: dict[int, int] = {}
    groups = min(sum(tile.operation == number for tile in tiles) for number in {t.operation for t in tiles})
    active: dict[tuple[str, int], list[tuple[float, float, str]]] = {}
    for tile in tiles:
        place = counted.get(tile.operation, 0)
        counted[tile.operation] = place + 1
        span = ((tile.start - first) / (last - first), (tile.end - first) / (last - first))
        active.setdefault((tile.chunk, place % groups), []).append(
            (*span, PARTS[operations[tile.operation].part])
        )
    left, top, cell, gap = 150, 46, 46, 6
    width, height = left + groups * (cell + gap) + 20, top + len(CHUNKS) * (cell + gap) + 60
    body = [text(left, 18, "Group of rows (20 tokens each)", size=13)]
    body += [text(left + g * (cell + gap) + cell / 2, 38, str(g), anchor="middle") for g in range(groups)]
    for index, chunk in enumerate(CHUNKS):
        y = top + index * (cell + gap)
        body.append(text(left - 10, y + cell / 2 + 4, chunk.replace("_", " "), anchor="end", size=13))
        for group in range(groups):
            x = left + group * (cell + gap)
            body.append(f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" rx="5" fill="#e8e8e8"/>')
            for begin, end, colour in active.get((chunk, group), []):
                body.append(_lit(x, y, cell, colour, begin, end))
    y = top + len(CHUNKS) * (cell + gap) + 12
    full = groups * (cell + gap) - gap
    body.append(rect(left, y, full, 8, "#e8e8e8"))
    body.append(
        f'<rect x="{left}" y="{y}" width="0" height="8" fill="{SOFT}"><animate attributeName="width" from="0" '
        f'to="{full}" dur="{ANIMATION_SECONDS}s" repeatCount="indefinite"/></rect>'
    )
    x = left
    for name in ("attention", "mlp"):
        body += [rect(x, y + 20, 12, 12, PARTS[name]), text(x + 18, y + 30, name)]
        x += 110
    body.append(text(x, y + 30, f"one block: {last - first:,.0f} cycles", size=12))
    return document(width, height, body, "Which chunk works on which group of rows, over one block of DeiT-T")


def _lit(x: float, y: float, cell: float, colour: str, begin: float, end: float) -> str:
    """A cell that is lit from ``begin`` to ``end``, as shares of the animation."""
    begin, end = round(begin, 5), round(min(max(end, begin + 0.004), 1.0), 5)
    times, values = [0.0, begin, end], ["0", "1", "0"]
    if begin == 0:
        times, values = times[1:], values[1:]
    if end == 1:
        times, values = times[:-1], values[:-1]
    return (
        f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" rx="5" fill="{colour}" opacity="0">'
        f'<animate attributeName="opacity" calcMode="discrete" dur="{ANIMATION_SECONDS}s" repeatCount="indefinite" '
        f'keyTimes="{";".join(f"{each:g}" for each in times)}" values="{";".join(values)}"/></rect>'
    )


def requantizers() -> str:
    """Gate equivalents of the re-quantizers."""
    modules = of_results("rtl/synthesis.json")["modules"]
    names = {
        "requant_shift": "shift (power-of-two scale)",
        "requant_multiplier8": "8-bit multiplier",
        "requant_multiplier16": "16-bit multiplier",
        "requant_multiplier32": "32-bit multiplier",
        "requant_float32": "float32 multiply",
    }
    found = [(label, modules[name]["gate_equivalents"] / 1000) for name, label in names.items()]
    return bars(
        found, "kGE", "One re-quantizer, in thousand gate equivalents (180 nm)", labels=190, width=620
    )


def decibels() -> str:
    """SQNR of DINOv2 ViT-S/14 without each part of the method, and of other methods."""
    ablated = of_results("ablation-elpv.json")["rows"]
    kept = [row for row in ablated if row["sqnr_db"] is not None]
    # A label that is too long for the chart loses what stands in parentheses.
    found = sorted(((row["name"].split(" (")[0], row["sqnr_db"]) for row in kept), key=lambda row: -row[1])
    return bars(found, "dB", "SQNR of the feature, DINOv2 ViT-S/14 on elpv, 8 bits", labels=380, width=760)


def scales() -> str:
    """Grids of a float scale and of powers of two over the same range."""
    width, left, right, y = 720, 30, 690, 60
    body = []
    for name, step, colour in (
        ("float scale: the grid ends at the largest value", 2.3 / 7, GREY),
        ("exponent −2: the step is finer, values beyond it are clamped", 0.25, ORANGE),
        ("exponent −1: nothing is clamped, the step is coarser, by a factor of at most 2", 0.5, BLUE),
    ):
        body.append(text(left, y - 16, name, size=13))
        body.append(line((left, y), (right, y), GRID, 2))
        for code in range(-8, 8):
            x = (left + right) / 2 + code * step / 4.2 * (right - left) / 2
            if left <= x <= right:
                body.append(line((x, y - 7), (x, y + 7), colour, 2.5))
        for value in (-2.1, 2.3):
            body.append(circle((left + right) / 2 + value / 4.2 * (right - left) / 2, y, 5, VERMILION))
        y += 74
    body.append(circle(left + 6, y - 26, 5, VERMILION))
    body.append(
        text(
            left + 18, y - 22, "smallest and largest value of the tensor; 4 bits for the sake of the picture"
        )
    )
    return document(width, y - 6, body, "Grids of a float scale and of two powers of two over one range")


def softmax() -> str:
    """The codes of the integer softmax beside the exact exponential."""
    width, height, left, top = 700, 330, 60, 24
    distance = np.linspace(0, 8, 161)  # Distance to the row's maximum
    scores = -np.round(np.concatenate([[0.0], distance]) * 4096).astype(np.int32)[None, None, None]
    linear = Softmax(shift=np.array([0]), form="linear").compute(scores)[0, 0, 0, 1:] / 256
    log2 = 2.0 ** -Softmax(shift=np.array([0]), form="log2").compute(scores)[0, 0, 0, 1:].astype(float)

    def place(x: float, y: float) -> tuple[float, float]:
        return left + x / 8 * (width - left - 20), top + (1 - y) * (height - top - 44)

    body = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        body.append(line(place(0, tick), place(8, tick)))
        body.append(text(left - 8, place(0, tick)[1] + 4, f"{tick:g}", anchor="end"))
    for tick in range(9):
        body.append(text(place(tick, 0)[0], height - 26, str(tick), anchor="middle"))
    body.append(text(left, height - 8, "distance to the row's maximum"))
    for values, colour in ((log2, ORANGE), (linear, BLUE)):
        steps = [place(x, y) for x, y in zip(distance, values, strict=True)]
        body.append(polyline(steps, colour))
    body.append(polyline([place(x, float(np.exp(-x))) for x in distance], VERMILION, 1))
    for index, (name, colour) in enumerate(
        (
            ("exact: e to the power of minus the distance", VERMILION),
            ("8-bit codes / 256", BLUE),
            ("log2 codes", ORANGE),
        )
    ):
        body += [rect(360, 40 + 22 * index, 12, 12, colour), text(380, 50 + 22 * index, name)]
    return document(width, height, body, "Codes of the integer softmax beside the exact exponential")


#: Picture → function that draws it.
PICTURES: dict[str, Callable[[], str]] = {
    "tutorials/sensitivity": sensitivity,
    "tutorials/memory": memory,
    "tutorials/block": block,
    "explanation/rows": rows,
    "explanation/requantizers": requantizers,
    "explanation/decibels": decibels,
    "explanation/scales": scales,
    "explanation/softmax": softmax,
}


def main() -> None:
    """Draw the named pictures, or all."""
    for name in sys.argv[1:] or PICTURES:
        target = IMAGES / f"{name}.svg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(PICTURES[name](), encoding="utf-8")


if __name__ == "__main__":
    main()
