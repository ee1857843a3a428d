"""``p2vit quantize``: a float ViT and a few photos in, an integer program out."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2vit.cli.common import (
    Output,
    common,
    overwrite_option,
    seed_option,
    strict_option,
    thread_count,
    threads_option,
)
from p2vit.cli.float_model import has_torch
from p2vit.cli.program_folder import FILES, check_place, program_lines, write_program
from p2vit.errors import MissingPackageError

if TYPE_CHECKING:
    from p2vit.models.loaded import FloatModel
    from p2vit.quant.config import QuantConfig

#: Fewer photos than this are taken, with a warning.
FEW_PHOTOS = 8


class ImageSize(click.ParamType):
    """``224`` or ``224x320`` (height x width)."""

    name = "N|HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Two numbers above 0."""
        parts = str(value).lower().split("x")
        if len(parts) not in (1, 2) or not all(part.isdigit() and int(part) for part in parts):
            self.fail(f"{value!r} is not a size; write 224, or 224x320 for height x width", param, ctx)
        return int(parts[0]), int(parts[-1])


def choose_config(bits: str, method: str) -> "QuantConfig":
    """The quantizer's configuration of ``--bits`` and ``--method``.

    Raises:
        P2vitError: either is unknown; says what is allowed.
    """
    from p2vit.quant.config import method as named
    from p2vit.quant.config import parse_bits

    return replace(named(method), weight_bits=parse_bits(bits))


def load(model: str, arch: str | None, image_size: tuple[int, int] | None, seed: int) -> "FloatModel":
    """Load the float model, or say that torch is missing.

    Raises:
        MissingPackageError: torch is not installed.
        ModelError: the model cannot be had.
    """
    if not has_torch():
        raise MissingPackageError("torch", "quantizing", "quant")
    from p2vit.models.registry import load_model

    return load_model(model, arch=arch, image_size=image_size, seed=seed)


def plan(model: "FloatModel", config: "QuantConfig", images: int, output: Path) -> dict[str, Any]:
    """What quantizing would do: layers, widths, sizes, memory and files; nothing is written.

    Args:
        model: The float model.
        config: The method.
        images: Calibration photos.
        output: The program's folder.
    """
    from p2vit.quant.names import ENDS, linear_layers

    shape = model.config
    layers = []
    for name, layer in linear_layers(model.module).items():
        bits = config.head_bits if name in ENDS else config.bits_of(name)
        layers.append(
            {
                "name": name,
                "shape": list(layer.weight.shape),
                "bits": bits,
                "bytes": -(-layer.weight.numel() * bits // 8),
            }
        )
    # Two streams for each stage, of which a plain ViT is one.
    stages = [block for index, block in enumerate(shape.blocks) if not index or block.merge is not None]
    spool = images * (
        sum(block.tokens * block.dim * 4 * 2 for block in stages)
        + shape.image_size[0] * shape.image_size[1] * 3
    )
    widest = max(
        max(block.tokens * block.mlp_dim, block.heads * block.places * block.keys) for block in shape.blocks
    )
    weights = sum(parameter.numel() for parameter in model.module.parameters()) * 4
    return {
        "dry_run": True,
        "model": model.source,
        "calibration_images": images,
        "layers": layers,
        "weight_bytes": sum(layer["bytes"] for layer in layers),
        "float_weight_bytes": weights,
        "memory_bytes": 3 * weights + 64 * widest * 4,
        "temporary_bytes": spool,
        "files": [str(output / name) for name in FILES],
    }


def run_quantize(
    model: str,
    data: str,
    output: Path,
    *,
    bits: str = "w8a8",
    method: str = "p2vit",
    calib_images: int = 32,
    arch: str | None = None,
    image_size: tuple[int, int] | None = None,
    seed: int = 0,
    threads: int | None = None,
    strict: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    out: Output | None = None,
) -> dict[str, Any]:
    """Quantize a model and save the program.

    Args:
        model: As users type it.
        data: A folder or a benchmark's name.
        output: The program's folder.
        bits: ``w8a8`` and the like.
        method: A name in ``METHODS``.
        calib_images: Photos to calibrate on.
        arch: Architecture of a weight file.
        image_size: Another than the model's own, (height, width).
        seed: Of the draw, and of random weights.
        threads: Bound; the program does not depend on it.
        strict: Refuse photos that cannot be read.
        overwrite: Replace a program that is there.
        dry_run: Only say what would be done.
        out: Where notes and progress go.

    Returns:
        The keys of ``p2vit quantize --json``.

    Raises:
        P2vitError: whatever users can mend.
    """
    from p2vit.data.benchmarks import open_photos

    out = out or Output(quiet=True)
    config = choose_config(bits, method)
    check_place(output, overwrite)
    loaded = load(model, arch, image_size, seed)
    photos = open_photos(data, loaded.preprocessing, strict=strict)
    if dry_run:
        return plan(loaded, config, calib_images, output)
    from p2vit.quant.api import quantize as quantize_model

    threads = thread_count(threads)
    batches = photos.calibration(calib_images, seed)
    with out.progress() as progress:
        result = quantize_model(
            loaded, batches, config, threads=threads, progress=progress, seed=seed, calibration=data
        )
    if result.photos < calib_images:
        out.warn(f"{data}: {result.photos} photos could be had to calibrate on, not {calib_images}")
    if result.photos < FEW_PHOTOS:
        out.warn(f"calibrated on {result.photos} photo(s): ranges come from so few; 16 to 64 are usual")
    notes = {"model": loaded.source, "bits": bits, "method": method, "calibration_images": result.photos}
    written = write_program(result, output, overwrite=overwrite, notes=notes)
    return {
        "seconds": round(result.seconds, 2),
        "calibration_images": result.photos,
        **written,
        "model": loaded.source,
        "data": data,
        "bits": bits,
        "method": method,
        "seed": seed,
        "threads": threads,
        "skipped": skipped(photos),
    }


def skipped(photos: Any) -> list[dict[str, str]]:
    """Photos that could not be read, with the reason."""
    return [{"file": file, "reason": reason} for file, reason in photos.skipped]


def warn_skipped(out: Output, result: dict[str, Any]) -> None:
    """Name every photo that was left out on stderr."""
    for entry in result.get("skipped", []):
        # Reasons begin with the file's name.
        out.warn(f"skipped {entry['reason']}")


def describe(result: dict[str, Any]) -> str:
    """The result for people."""
    if result.get("dry_run"):
        lines = [
            f"{layer['name']:<28} {layer['shape']!s:<14} {layer['bits']} bits" for layer in result["layers"]
        ]
        lines += [
            f"weights: {result['weight_bytes'] / 1e6:.2f} MB (float {result['float_weight_bytes'] / 1e6:.2f} MB)",
            f"memory: about {result['memory_bytes'] / 1e6:.0f} MB",
            f"temporary files: {result['temporary_bytes'] / 1e6:.0f} MB",
            "would write: " + ", ".join(result["files"]),
        ]
        return "\n".join(lines)
    photos = f"{result['calibration_images']} photos of {result['data']}"
    return "\n".join(
        [
            f"{result['model']} -> {result['output']}  ({result['bits']}, method {result['method']})",
            f"  {result['seconds']:.1f} s, {photos}, seed {result['seed']}",
            *program_lines(result),
            f"next: p2vit eval {result['output']} --data {result['data']}",
        ]
    )


@click.command("quantize")
@click.argument("model")
@click.option(
    "--data", required=True, metavar="DIR", help="Photos: a folder, or elpv, textile, digits, noise."
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the program."
)
@click.option("--bits", default="w8a8", show_default=True, help="w2a8 to w8a8: width of the weights.")
@click.option(
    "--calib-images", default=32, show_default=True, type=click.IntRange(1), help="Photos to calibrate on."
)
@click.option("--method", default="p2vit", show_default=True, help="'p2vit list' names them.")
@click.option("--arch", help="Architecture of a weight file; 'p2vit list' names them.")
@click.option("--image-size", type=ImageSize(), help="Another than the model's own.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done: layers, widths, memory, files.")
@strict_option
@overwrite_option
@seed_option
@threads_option
@common
def quantize(out: Output, model: str, data: str, **options: Any) -> None:
    """Quantize MODEL to integers with power-of-two scales, calibrated on photos.

    MODEL is a timm name, hf:ORG/NAME, a weight file with --arch, a benchmark's model (dinov2-elpv,
    dinov2-textile, digits) or random:ARCH.
    """
    result = run_quantize(model, data, out=out, **options)
    warn_skipped(out, result)
    out.result(result, describe(result))
