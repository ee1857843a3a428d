"""``p2vit search``: which layer gets how many bits under a budget, and the program of that mix."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import (
    Output,
    cluster_options,
    common,
    overwrite_option,
    seed_option,
    strict_option,
    threads_option,
)
from p2vit.cli.shared.model_options import model_options
from p2vit.cli.shared.photo_options import max_pixels_option
from p2vit.workflows.options.base import choices
from p2vit.workflows.options.quantize import SearchOptions
from p2vit.workflows.search import run_search


def describe(result: dict[str, Any]) -> str:
    """The result for people."""
    counts: dict[int, int] = {}
    for width in result["bits_per_layer"].values():
        counts[width] = counts.get(width, 0) + 1
    mix = ", ".join(f"{counts[width]} layers at {width} bits" for width in sorted(counts))
    budget = result["budget"]
    others = ", ".join(
        f"{each['bits']} bits for all {each['sqnr_db']:.2f} dB"
        if each["bits"] != "searched"
        else f"the mix found {each['sqnr_db']:.2f} dB"
        for each in result["finalists"]
    )
    modelled = f", modelled on the machine '{budget['hardware']}'" if "hardware" in budget else ""
    return (
        f"{result['file']}: {mix}\n"
        f"  {budget['name']} {result['cost']:.6g} of {budget['limit']:.6g}{modelled}\n"
        f"  feature SQNR on held-out calibration photos {result['sqnr_db']:.2f} dB (searched "
        f"{result['searched_sqnr_db']:.2f} dB, {result['candidates']} candidates)\n"
        f"  quantized anew: {others}; the best is kept\n"
        f"  every candidate: {result['log']}"
    )


def renamed(out: Output, options: dict[str, Any]) -> dict[str, Any]:
    """Options by their present names: ``--backend`` and ``--jobs`` are ``--engine`` and ``--workers`` now."""
    backend, jobs = options.pop("backend"), options.pop("jobs")
    if backend is None and jobs is None:
        return options
    out.note("--backend and --jobs are called --engine and --workers now; the old names still work")
    engine = backend if backend in ("ray", "dask") else "local"
    workers = 1 if backend in (None, "serial") else jobs or 2
    return options | {"engine": engine, "workers": options["workers"] or workers}


@click.command("search")
@click.argument("model")
@click.option(
    "--data", required=True, metavar="DIR", help="Photos: a folder, or elpv, textile, digits, noise."
)
@click.option(
    "--budget",
    required=True,
    help="average-bits=6, bytes=16M, bitops=300G; or latency-ms=8, energy-mj=2, modelled on --hw.",
)
@click.option(
    "--hw", "hardware", help="Accelerator for latency-ms and energy-mj, as in simulate. Default: paper."
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the program."
)
@click.option("--widths", default="4,8", show_default=True, help="Widths that a layer may have.")
@click.option(
    "--calib-images", default=96, show_default=True, type=click.IntRange(1), help="To calibrate on."
)
@click.option(
    "--held-out",
    default=32,
    show_default=True,
    type=click.IntRange(1),
    help="Further calibration photos, to score candidates on.",
)
@click.option("--method", default="p2vit", show_default=True, help="'p2vit list' names them.")
@click.option(
    "--measure",
    type=click.Choice(choices(SearchOptions, "measure")),
    default="direct",
    show_default=True,
    help="Sensitivity of the coarse step: output error of each layer alone, or Hessian trace x perturbation.",
)
@click.option(
    "--coarse/--no-coarse", default=True, help="Start from the exact solution for that sensitivity."
)
@click.option("--fine/--no-fine", default=True, help="Refine by evolution.")
@click.option("--population", default=25, show_default=True, type=click.IntRange(1), help="Survivors.")
@click.option("--generations", default=8, show_default=True, type=click.IntRange(0), help="Of the evolution.")
@cluster_options
@click.option("--backend", hidden=True, help="Older name of --engine.")
@click.option("--jobs", hidden=True, type=click.IntRange(1), help="Older name of --workers.")
@model_options
@strict_option
@overwrite_option
@seed_option
@threads_option
@max_pixels_option
@common
def search(out: Output, model: str, data: str, **options: Any) -> None:
    """Give each layer of MODEL a width, within a budget, and quantize it so.

    Photos that the model is judged on are never used. A search that was killed continues from its log when the
    same command runs again.
    """
    result = run_search(model, data, out=out, **renamed(out, options))
    out.result(result, describe)
