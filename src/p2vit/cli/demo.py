"""``p2vit demo``: the main job on the benchmark, from the float model to a report."""

import json
import time
from pathlib import Path
from typing import Any

import click

from p2vit.cli.audit import run_audit
from p2vit.cli.common import (
    CHECK_FAILED,
    Output,
    common,
    limit_option,
    make_folder,
    seed_option,
    threads_option,
    to_json,
    write_text,
)
from p2vit.cli.evaluate import run_eval
from p2vit.cli.quantize import run_quantize
from p2vit.errors import P2vitError

#: Benchmark → the model that belongs to it.
MODELS = {"elpv": "dinov2-elpv", "textile": "dinov2-textile", "digits": "digits"}


def run_demo(
    output: Path,
    *,
    benchmark: str = "elpv",
    bits: str = "w8a8",
    calib_images: int = 32,
    limit: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    overwrite: bool = False,
    out: Output | None = None,
) -> dict[str, Any]:
    """Quantize, evaluate, audit and report.

    Args:
        output: Folder for ``program``, ``summary.json`` and ``report.html``.
        benchmark: A key of `MODELS`.
        bits: ``w8a8`` and the like.
        calib_images: Photos to calibrate on.
        limit: Evaluate at most so many photos.
        seed: Of the draw.
        threads: Bound.
        overwrite: Replace an earlier demo.
        out: Where notes and progress go.

    Returns:
        The keys of ``quantize``, ``eval`` and ``audit`` together.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.program.format import load
    from p2vit.report.page import render, report_data

    out = out or Output(quiet=True)
    start = time.perf_counter()
    summary_file, page_file, program = output / "summary.json", output / "report.html", output / "program"
    if not overwrite and (found := [path for path in (summary_file, page_file, program) if path.exists()]):
        raise P2vitError(f"{found[0]}: exists already; choose another place with -o, or allow --overwrite")
    make_folder(output)
    model = MODELS[benchmark]
    out.note(f"[1/4] quantize {model} to {bits} on {calib_images} photos of {benchmark}")
    quantized = run_quantize(
        model,
        benchmark,
        program,
        bits=bits,
        calib_images=calib_images,
        seed=seed,
        threads=threads,
        overwrite=overwrite,
        out=out,
    )
    out.note("[2/4] evaluate the program and the float model on the held-out photos")
    measured = run_eval(program, benchmark, limit=limit, threads=threads, out=out)
    out.note("[3/4] audit: prove integers, powers of two and int32")
    proof = run_audit(program)
    out.note("[4/4] report")
    # Where two verbs have a key in common they agree, except for these, which are spelt out.
    summary = {
        **{key: value for key, value in proof.items() if key not in ("layers", "problems")},
        **measured,
        **quantized,
        "audit_problems": proof["problems"],
        "program": str(program),
        "report": str(page_file),
        "skipped": [*quantized["skipped"], *measured["skipped"]],
        "demo_seconds": round(time.perf_counter() - start, 2),
    }
    data = report_data(load(program), quantize=quantized, evaluation=measured)
    write_text(page_file, render(json.loads(to_json(data))))
    write_text(summary_file, to_json(summary) + "\n")
    return summary


def describe(result: dict[str, Any]) -> str:
    """The result for people: what is claimed, in a dozen lines."""

    def show(value: float | None, unit: str) -> str:
        return "-" if value is None else f"{value:.2f} {unit}"

    return "\n".join(
        [
            f"{result['model']}, {result['bits']}, on {result['images']} held-out photos of {result['data']}:",
            f"  top-1                 {show(result['top1'], '%')}   (float {show(result['top1_float'], '%')})",
            f"  agreement with float  {show(result['agreement'], '%')}",
            f"  SQNR of the feature   {show(result['sqnr_db'], 'dB')}",
            f"  float operations      {result['float_ops']}",
            f"  scales that are no powers of two  {result['non_pot_scales']}",
            f"  widest accumulator    {result['max_accumulator_bits']} bits of 32",
            f"  quantized in {result['seconds']:.1f} s, evaluated in {result['evaluation_seconds']:.1f} s "
            f"({result['backend']})",
            f"  program {result['program']}, report {result['report']}",
        ]
    )


@click.command("demo")
@click.option(
    "-o", "--output", default="out/demo", show_default=True, type=click.Path(path_type=Path), help="Folder."
)
@click.option("--benchmark", type=click.Choice(list(MODELS)), default="elpv", show_default=True)
@click.option("--bits", default="w8a8", show_default=True, help="w2a8 to w8a8: width of the weights.")
@click.option(
    "--calib-images", default=32, show_default=True, type=click.IntRange(1), help="Photos to calibrate on."
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier demo.")
@limit_option
@seed_option
@threads_option
@common
def demo(out: Output, output: Path, **options: Any) -> int:
    """Quantize a real DINOv2, measure it on 1,312 real photos, prove it, and write a report.

    Leaves program/, summary.json and report.html in the output folder. Exit status 1 when the audit fails.
    """
    result = run_demo(output, out=out, **options)
    out.result(result, describe(result))
    return 0 if result["passed"] else CHECK_FAILED
