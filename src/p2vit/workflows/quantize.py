"""``p2vit quantize``: a float ViT and a few photos in, an integer program out."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2vit.errors import MissingPackageError
from p2vit.workflows.class_names import named
from p2vit.workflows.float_model import has_torch
from p2vit.workflows.left_out import say_notes
from p2vit.workflows.program_folder import FILES, check_place, write_program
from p2vit.workflows.threads import thread_count

if TYPE_CHECKING:
    from p2vit.models.loaded import FloatModel
    from p2vit.quant.config import QuantConfig
from p2vit.workflows.feedback import Feedback

#: Fewer photos than this are taken, with a warning.
FEW_PHOTOS = 8


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
    class_names: str | None = None,
    class_index: Path | None = None,
    seed: int = 0,
    threads: int | None = None,
    strict: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    out: Feedback | None = None,
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
        class_names: Names of the outputs, which go into the program: a file, or names between commas.
        class_index: The same from a class-index file.
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

    out = out or Feedback()
    config = choose_config(bits, method)
    check_place(output, overwrite)
    loaded = named(load(model, arch, image_size, seed), class_names, class_index)
    photos = open_photos(data, loaded.preprocessing, strict=strict)
    left_out = say_notes(photos, out)
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
        "notes": left_out,
    }


def skipped(photos: Any) -> list[dict[str, str]]:
    """Photos that could not be read, with the reason."""
    return [{"file": file, "reason": reason} for file, reason in photos.skipped]
