"""``p2vit bench``: speed side by side with other runtimes, interleaved in one run."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import Output, common
from p2vit.workflows.bench import run_bench


@click.command("bench")
@click.argument("program", type=click.Path(path_type=Path))
@click.option(
    "--against",
    default="openvino,onnxruntime",
    show_default=True,
    help="Peers, separated by commas: openvino, onnxruntime, torch (their int8, int8 and float32 models), "
    "or a full name such as openvino-bf16; empty for none.",
)
@click.option("--batches", default="1,8", show_default=True, help="Images per call, separated by commas.")
@click.option(
    "--threads", default=2, show_default=True, type=click.IntRange(1, 1024), help="Bound for everybody."
)
@click.option(
    "--rounds", default=20, show_default=True, type=click.IntRange(1, 10000), help="Turns of each entrant."
)
@click.option(
    "--cache",
    default="out/bench",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The peers' models.",
)
@click.option("--profile", is_flag=True, help="Also where our time goes, per operator.")
@common
def bench(out: Output, program: Path, **options: Any) -> None:
    """Time PROGRAM on the native engine beside other runtimes.

    The peers run a ViT of the same shape with random weights, quantized by their own tools where they are
    int8.
    """
    report = run_bench(program, out=out, **options)
    out.result(report, table(report))


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"{report['shape']}, {report['threads']} threads, {report['rounds']} rounds; ms per image"]
    lines.append(f"{'batch':>5}  {'runtime':<18}{'median':>9}{'quartiles':>18}{'ratio':>8}")
    for row in report["rows"]:
        low, high = row["quartiles_ms"]
        share = f"  {100 * row['peak_share']:.0f} % of the instruction's rate" if "peak_share" in row else ""
        times = f"{row['median_ms']:>9.2f}{low:>9.2f}{high:>9.2f}{row['ratio']:>7.2f}x"
        lines.append(f"{row['batch']:>5}  {row['name']:<18}{times}{share}")
    for step in report.get("profile", [])[:20]:
        lines.append(f"  {step['operator']:<24}{step['ms']:>9.3f} ms {100 * step['share']:>5.1f} %")
    return "\n".join(lines)
