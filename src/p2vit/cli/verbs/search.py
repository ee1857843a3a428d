"""``p2vit search``: choose the weight width of each layer within a budget, and quantize the model with it."""

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
    """Format the result as text for the terminal."""
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
        f"  final programs: {others}; the best one is kept\n"
        f"  log of all candidates: {result['log']}"
    )


def renamed(out: Output, options: dict[str, Any]) -> dict[str, Any]:
    """Translate the older options ``--backend`` and ``--jobs`` to ``--engine`` and ``--workers``."""
    backend, jobs = options.pop("backend"), options.pop("jobs")
    if backend is None and jobs is None:
        return options
    out.note("--backend and --jobs are now called --engine and --workers; the old names still work")
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
    metavar="FIGURE=NUMBER",
    help="Upper bound: average-bits=6, bytes=16M, bitops=300G, or latency-ms=8, energy-mj=2 modelled on --hw.",
)
@click.option(
    "--hw",
    "hardware",
    help="Accelerator for latency-ms and energy-mj, as in 'p2vit simulate'. Default: paper.",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the program."
)
@click.option("--widths", default="4,8", show_default=True, help="Weight widths to choose from, in bits.")
@click.option(
    "--calib-images",
    default=96,
    show_default=True,
    type=click.IntRange(1),
    help="Number of calibration photos.",
)
@click.option(
    "--held-out",
    default=32,
    show_default=True,
    type=click.IntRange(1),
    help="Number of further calibration photos, used to score the candidates.",
)
@click.option("--method", default="p2vit", show_default=True, help="Quantization method; see 'p2vit list'.")
@click.option(
    "--measure",
    type=click.Choice(choices(SearchOptions, "measure")),
    default="direct",
    show_default=True,
    help="Sensitivity of a layer in the coarse step. direct: output error when only that layer is quantized. "
    "Otherwise: Hessian trace times weight error.",
)
@click.option(
    "--coarse/--no-coarse",
    default=True,
    show_default=True,
    help="Coarse step: start from the best mix according to the sensitivities.",
)
@click.option(
    "--fine/--no-fine",
    default=True,
    show_default=True,
    help="Fine step: improve the mix with an evolutionary search.",
)
@click.option(
    "--population",
    default=25,
    show_default=True,
    type=click.IntRange(1),
    help="Fine step: mixes that are kept in each generation.",
)
@click.option(
    "--generations",
    default=8,
    show_default=True,
    type=click.IntRange(0),
    help="Fine step: number of generations.",
)
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
    """Choose the weight width of each layer of MODEL within a budget, and quantize the model with these widths.

    The search reads calibration photos only, never the photos that eval measures. A search that was stopped continues
    from its log when the same command runs again.
    """
    result = run_search(model, data, out=out, **renamed(out, options))
    out.result(result, describe)
