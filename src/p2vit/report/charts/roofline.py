"""Roofline chart of a simulation."""

import math
from collections.abc import Sequence

from p2vit.accel.explain import RooflinePoint
from p2vit.accel.simulate import Run
from p2vit.report.charts.gantt import PARTS
from p2vit.report.charts.svg import circle, document, line, polyline, text


def roofline_plot(run: Run, points: Sequence[RooflinePoint], width: int = 620, height: int = 380) -> str:
    """Return a roofline chart: GOPS over operational intensity, both logarithmic, and the accelerator's limits.

    Args:
        run: A run.
        points: From `p2vit.accel.explain.roofline`.
        width: Width of the chart in pixels.
        height: Height of the chart in pixels.

    Returns:
        SVG text.
    """
    machine = run.machine
    peak = run.result.peak_gops
    bandwidth = machine.dram.bandwidth_gbytes_per_s
    ridge = peak / bandwidth
    xs = [point.ops_per_byte for point in points] + [ridge]
    ys = [point.gops for point in points] + [peak]
    x0, x1 = math.floor(math.log10(min(xs) / 1.5)), math.ceil(math.log10(max(xs) * 1.5))
    y0, y1 = math.floor(math.log10(min(ys) / 1.5)), math.ceil(math.log10(max(ys) * 1.5))
    left, bottom, top, right = 64, height - 44, 18, width - 16

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (math.log10(x) - x0) / (x1 - x0) * (right - left),
            bottom - (math.log10(y) - y0) / (y1 - y0) * (bottom - top),
        )

    body = []
    for decade in range(x0, x1 + 1):
        x, _ = at(10.0**decade, 1)
        body.append(line((x, top), (x, bottom)))
        body.append(text(x, bottom + 16, f"{10.0**decade:g}", anchor="middle", size=11))
    for decade in range(y0, y1 + 1):
        _, y = at(1, 10.0**decade)
        body.append(line((left, y), (right, y)))
        body.append(text(left - 8, y + 4, f"{10.0**decade:g}", anchor="end", size=11))
    low = max(10.0**x0, 10.0**y0 / bandwidth)
    roof = [at(low, low * bandwidth), at(ridge, peak), at(10.0**x1, peak)]
    body.append(polyline(roof))
    for point in points:
        x, y = at(point.ops_per_byte, point.gops)
        hint = f"{point.name}: {point.gops:.0f} GOPS at {point.ops_per_byte:.0f} ops/byte"
        body.append(circle(x, y, 5, PARTS[point.part], hint=hint, opacity=0.7))
    body.append(text((left + right) / 2, height - 8, "operations per byte of DRAM traffic", anchor="middle"))
    peak_y = at(ridge, peak)[1] - 12
    body.append(text(right, peak_y, f"peak {peak:,.0f} GOPS (MAC and shifter array)", anchor="end", size=11))
    body.append(text(left + 8, top + 4, "GOPS", size=11))
    return document(width, height, body, "Roofline")
