"""``p2vit eval``: measure the accuracy of an integer program and of its float model."""

from pathlib import Path
from typing import Any

import click

from p2vit.cli.shared.common import (
    Output,
    backend_option,
    cluster_options,
    common,
    device_option,
    limit_option,
    overwrite_option,
    program_argument,
    strict_option,
    threads_option,
    warn_skipped,
)
from p2vit.cli.shared.photo_options import max_pixels_option
from p2vit.workflows.evaluate import run_eval
from p2vit.workflows.processes import together

#: Most classes to print on a terminal. ``--per-class`` writes all of them.
SHOWN = 20


def describe(result: dict[str, Any]) -> str:
    """Format the result as text for the terminal."""

    def show(value: float | None, unit: str = "%") -> str:
        return "-" if value is None else f"{value:.2f} {unit}"

    def within(key: str) -> str:
        ends = result[f"{key}_interval"]
        return "" if ends is None else f" [{ends[0]:.2f}, {ends[1]:.2f}]"

    rate = result["images"] / max(result["evaluation_seconds"], 0.01)
    lines = [
        f"{result['program']} on {result['images']} photos of {result['data']} "
        f"({result['backend']}, {result['evaluation_seconds']:.1f} s, {rate:.1f} photos/s)",
        f"  top-1      {show(result['top1']):>10}{within('top1')}   float {show(result['top1_float'])}"
        f"{within('top1_float')}",
        f"  top-5      {show(result['top5']):>10}   float {show(result['top5_float'])}",
        f"  agreement  {show(result['agreement']):>10}{within('agreement')}",
        f"  SQNR       {show(result['sqnr_db'], 'dB'):>10}",
    ]
    if result["top1_interval"] is not None:
        lines.insert(-1, "  in brackets: 95 % intervals (Wilson)")
    if (test := result["mcnemar"]) is not None:
        lines.insert(
            -1,
            f"  McNemar's exact test: only the program is right on {test['program_only']} photos, only the float "
            f"model on {test['float_only']}; p = {test['p_value']:.3g}",
        )
    if feature := result["feature"]:
        cosine = "-" if feature["cosine_mean"] is None else f"{feature['cosine_mean']:.6f}"
        lines.append(f"  cosine     {cosine:>10}")
        for each in feature["maps"]:
            mean, least = (
                "-" if each[key] is None else f"{each[key]:.6f}" for key in ("cosine_mean", "cosine_min")
            )
            lines.append(
                f"  {each['name']}: SQNR {show(each['sqnr_db'], 'dB')}, cosine per patch {mean} on average, "
                f"{least} at least"
            )
        if feature["gallery"]:
            lines.append(
                f"  k-NN       {show(feature['knn_top1']):>10}   float {show(feature['knn_top1_float'])}   "
                f"agreement {show(feature['knn_agreement'])}   "
                f"(k = {feature['k']}, {feature['gallery_images']} photos of {feature['gallery']})"
            )
    for row in result["per_class"][:SHOWN]:
        lines.append(
            f"  {row['name']:<20} {row['images']:>6} photos  {row['top1']:6.2f} %   float {show(row['top1_float'])}"
        )
    if (more := len(result["per_class"]) - SHOWN) > 0:
        lines.append(f"  and {more} more classes: --per-class FILE writes them all")
    if result["confusion"] is None:
        for pair in result["most_confused"][:5]:
            lines.append(f"  {pair['true']} taken for {pair['predicted']}: {pair['images']} photos")
    return "\n".join([*lines, *(f"note: {note}" for note in result["notes"])])


@click.command("eval")
@program_argument
@click.option(
    "--data", required=True, metavar="DIR", help="Photos: a folder, or elpv, textile, digits, noise."
)
@click.option(
    "--labels",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Labels of the photos: rows of file,label, or one label per line. Default: one subfolder per class.",
)
@click.option(
    "--class-index",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Class of each output: a JSON or text file as of timm or torchvision, or the ImageNet devkit's meta.mat.",
)
@click.option("--model", help="Float model to compare with. Default: the one that was quantized.")
@click.option("--arch", help="Architecture of the weight file that --model names.")
@click.option("--no-float", is_flag=True, help="Do not run the float model.")
@click.option(
    "--no-cache", is_flag=True, help="Do not use the float model's outputs of earlier runs, and keep none."
)
@click.option(
    "--feature",
    is_flag=True,
    help="Also measure the features (the head's input) and feature maps: cosine similarity, k-NN accuracy.",
)
@click.option(
    "--gallery",
    metavar="DIR",
    help="Labelled photos for k-NN, with --feature. Default: the training half of a benchmark.",
)
@click.option(
    "--neighbours",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="Number of neighbours k for k-NN.",
)
@click.option(
    "--batch-size", "--batch", default=8, show_default=True, type=click.IntRange(1), help="Photos per batch."
)
@cluster_options
@click.option(
    "--readers",
    type=click.IntRange(0, 256),
    help="Number of threads that read photos in advance; 0 for none. Default: as --threads.",
)
@click.option(
    "--csv",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Append all figures to a CSV file, as one row.",
)
@click.option(
    "--per-class",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the figures of each class to a CSV file.",
)
@backend_option
@device_option
@limit_option
@strict_option
@overwrite_option
@threads_option
@max_pixels_option
@common
def evaluate(out: Output, program: Path, data: str, **options: Any) -> None:
    """Measure program OUT on photos: top-1, top-5, agreement with the float model, SQNR.

    Percentages are 0 to 100. SQNR is the signal-to-quantization-noise ratio of the features, in dB. Benchmarks are
    measured on their held-out half, which calibration never reads.

    To share the photos between several processes or machines, with the same figures:
    torchrun --nproc-per-node 2 -m p2vit eval OUT --data DIR
    """
    with together() as world:
        result = run_eval(program, data, out=out, world=world, **options)
    if world.rank == 0:
        warn_skipped(out, result)
        out.result(result, describe)
