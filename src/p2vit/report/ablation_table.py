"""The ablation table as Markdown and as a chart."""

from typing import Any

from p2vit.report.charts.bars import bars
from p2vit.text import in_code, in_markdown, shown


def markdown(result: dict[str, Any]) -> str:
    """Return the table as Markdown, with the command that made it.

    Args:
        result: Result of ``p2vit ablate``.
    """

    def show(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    lines = [
        f"# Ablation: {in_markdown(result['model'])} on {in_markdown(result['data'])}, {result['bits']}",
        "",
        f"{result['images']} photos, {result['calibration_images']} calibration photos, seed {result['seed']}. "
        f"Float top-1 {show(result['top1_float'])} %. *simulated*: the method makes no integer program, so its "
        "rounding was simulated in float arithmetic.",
        "",
        "| method | runs as | top-1 % | agreement % | SQNR dB | quantize s |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        kind = "integers" if row["integer"] else "simulated"
        lines.append(
            f"| {row['name']} | {kind} | {show(row['top1'])} | {show(row['agreement'])} | {show(row['sqnr_db'])} | "
            f"{row['seconds']:.1f} |"
        )
    return "\n".join([*lines, "", f"Made by `{in_code(result['command'])}`.", ""])


def plot(result: dict[str, Any]) -> str:
    """Return a bar chart (SVG) with the SQNR of every row.

    Args:
        result: Result of ``p2vit ablate``.
    """
    rows = [(row["name"], row["sqnr_db"] or 0.0) for row in result["rows"]]
    return bars(
        rows,
        "dB",
        f"SQNR of the features: {shown(result['model'])} on {shown(result['data'])}, {result['bits']}",
        width=760,
        labels=360,
    )
