"""``p2vit bench``: compare the speed with other runtimes, interleaved in one run."""

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
    help="Other runtimes, separated by commas: openvino (int8), onnxruntime (int8), torch (float32), "
    "or a full name such as openvino-bf16. Empty for none.",
)
@click.option("--batches", default="1,8", show_default=True, help="Batch sizes, separated by commas.")
@click.option(
    "--threads",
    default=2,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="CPU threads of each runtime.",
)
@click.option(
    "--rounds",
    default=20,
    show_default=True,
    type=click.IntRange(1, 10000),
    help="Timed calls of each runtime.",
)
@click.option(
    "--cache",
    default="out/bench",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the other runtimes' models, which are kept for the next run.",
)
@click.option(
    "--isa", metavar="NAME", help="Instruction set of the native engine, as in doctor. Default: the best one."
)
@click.option("--profile", is_flag=True, help="Also measure the time of each operator of the native engine.")
@common
def bench(out: Output, program: Path, **options: Any) -> None:
    """Measure the speed of PROGRAM on the native engine, and of other runtimes.

    The other runtimes run a Vision Transformer of the same shape with random weights. Their int8 models are quantized
    with their own tools. The runtimes take turns, so that all of them see the same load of the machine.
    """
    report = run_bench(program, out=out, **options)
    out.result(report, table(report))


def table(report: dict[str, Any]) -> str:
    """Format the timings as a table for the terminal."""
    lines = [f"{report['shape']}, {report['threads']} threads, {report['rounds']} rounds; ms per image"]
    lines.append(f"{'batch':>5}  {'runtime':<18}{'median':>9}{'quartiles':>18}{'p99':>9}{'ratio':>8}")
    for row in report["rows"]:
        low, high = row["quartiles_ms"]
        share = f"  {100 * row['peak_share']:.0f} % of the CPU's peak" if "peak_share" in row else ""
        times = f"{row['median_ms']:>9.2f}{low:>9.2f}{high:>9.2f}{row['p99_ms']:>9.2f}{row['ratio']:>7.2f}x"
        if row["joules_per_image"] is not None:
            share = f"  {1000 * row['joules_per_image']:.1f} mJ per image{share}"
        lines.append(f"{row['batch']:>5}  {row['name']:<18}{times}{share}")
    lines += report["summary"]
    for step in report.get("profile", [])[:20]:
        lines.append(f"  {step['operator']:<24}{step['ms']:>9.3f} ms {100 * step['share']:>5.1f} %")
    return "\n".join(lines)
