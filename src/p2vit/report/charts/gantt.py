"""The tiles and stalls of a simulation, chunk by chunk, over time."""

from dataclasses import dataclass

from p2vit.accel.chunks.costs import CHUNKS
from p2vit.accel.simulate import Run
from p2vit.report.charts.svg import BLUE, GREEN, GREY, PURPLE, SKY, VERMILION, document, line, rect, text

# Colour of each part of a network, and of a stall.
PARTS = {
    "embedding": GREY,
    "attention": BLUE,
    "mlp": GREEN,
    "merge": PURPLE,
    "head": SKY,
    "stall": VERMILION,
}


@dataclass
class _Slice:
    """A rectangle of the Gantt chart: a tile, a stall, or several tiles that are too narrow to show separately."""

    chunk: str
    start: float
    end: float
    colour: str
    title: str
    opacity: float


def _slices(run: Run, first: float, last: float, pixel: float) -> list[_Slice]:
    assert run.timing is not None
    slices: list[_Slice] = []
    latest: dict[str, _Slice] = {}
    for tile in run.timing.tiles:
        if tile.end < first or tile.start - tile.waited > last:
            continue
        operation = run.plan.operations[tile.section][tile.operation]
        start, end = max(tile.start, first), min(tile.end, last)
        begin = max(tile.start - tile.waited, first)
        if start - begin >= pixel / 2 and tile.chunk == "mac_array":
            title = f"stalled {tile.waited:,.0f} cycles: {tile.reason}"
            slices.append(_Slice(tile.chunk, begin, start, PARTS["stall"], title, 1.0))
        colour = PARTS[operation.part]
        before = latest.get(tile.chunk)
        if before and before.colour == colour and start - before.end < pixel / 2 and end - start < 2 * pixel:
            before.end = end
            before.title = f"{operation.part}: {before.start:,.0f} to {end:,.0f}"
        elif end > start:
            # Scores use the same array as the next head's projections, so they are drawn lighter.
            opacity = 0.55 if operation.kind == "scores" else 1.0
            title = f"{operation.name}: {tile.start:,.0f} to {tile.end:,.0f}"
            latest[tile.chunk] = _Slice(tile.chunk, start, end, colour, title, opacity)
            slices.append(latest[tile.chunk])
    return slices


def gantt(run: Run, first: float, last: float, width: int = 1100) -> str:
    """Return a Gantt chart of the tiles and stalls of every chunk.

    Args:
        run: An event-driven run.
        first: First cycle to show.
        last: Last cycle to show.
        width: Width of the chart in pixels.

    Returns:
        SVG text.
    """
    assert run.timing is not None
    left, row, top = 150, 30, 24
    scale = (width - left - 45) / max(1.0, last - first)
    height = top + row * len(CHUNKS) + 34
    body = []
    for step in range(6):
        cycle = first + (last - first) * step / 5
        x = left + (cycle - first) * scale
        body.append(line((x, top), (x, height - 30)))
        body.append(text(x, height - 14, f"{cycle:,.0f}", anchor="middle", size=11))
    for index, chunk in enumerate(CHUNKS):
        body.append(text(left - 10, top + row * index + 19, chunk.replace("_", " "), anchor="end"))
    for slice_ in _slices(run, first, last, 1 / scale):
        y = top + row * CHUNKS.index(slice_.chunk) + 4
        x = left + (slice_.start - first) * scale
        length = (slice_.end - slice_.start) * scale
        body.append(rect(x, y, length, 20, slice_.colour, hint=slice_.title, opacity=slice_.opacity))
    body.append(text(left, 14, "Cycles. Hover to see the operation. Orange: the MAC array stalls.", size=11))
    return document(width, height, body, "Gantt chart of the chunks")
