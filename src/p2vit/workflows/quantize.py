"""``p2vit quantize``: quantize a float Vision Transformer to an integer program."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2vit.errors import MissingPackageError
from p2vit.files import one_writer
from p2vit.models.dense import feature_maps
from p2vit.models.options import LoadOptions
from p2vit.program.inspect import summarize_outputs
from p2vit.workflows.accuracy_control import control_record, controlled
from p2vit.workflows.class_names import named
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.float_model import has_torch, told
from p2vit.workflows.inputs import data_name, open_data
from p2vit.workflows.left_out import say_notes
from p2vit.workflows.options.base import changed
from p2vit.workflows.options.quantize import QuantizeOptions
from p2vit.workflows.outputs import maps_of, with_embedding
from p2vit.workflows.program_folder import FILES, check_place, write_program
from p2vit.workflows.threads import thread_count

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from p2vit.data.source import PhotoSource
    from p2vit.models.loaded import FloatModel
    from p2vit.quant.api import QuantizeResult
    from p2vit.quant.config import QuantConfig

#: Default numbers of calibration photos. Rounding to narrow weights fits itself to the photos and needs more of them.
PHOTOS, NARROW_PHOTOS = 32, 128
#: A warning is issued for fewer calibration photos than this.
FEW_PHOTOS = 8


def choose_config(bits: str, method: str) -> "QuantConfig":
    """Return the quantizer's configuration for ``--bits`` and ``--method``.

    Raises:
        P2vitError: One of the two is unknown; the message lists what is allowed.
    """
    from p2vit.quant.config import method as named
    from p2vit.quant.config import parse_bits

    return replace(named(method), weight_bits=parse_bits(bits))


def photo_count(options: QuantizeOptions) -> int:
    """Return the number of calibration photos: as stated, or the default for the width of the weights.

    Raises:
        P2vitError: The method or the width is unknown.
    """
    from p2vit.quant.config import NARROW_BITS

    if options.calib_images is not None:
        return options.calib_images
    narrow = choose_config(options.bits, options.method).weight_bits <= NARROW_BITS
    return NARROW_PHOTOS if narrow else PHOTOS


def load(model: "str | FloatModel", options: LoadOptions, out: Feedback | None = None) -> "FloatModel":
    """Load the float model, and report what was assumed about it.

    Args:
        model: Name of the model as on the command line. A loaded model is returned as it is.
        options: Options for loading. Options of a workflow that inherit from `LoadOptions` are fine.
        out: Receives notes.

    Raises:
        MissingPackageError: torch is not installed.
        ModelError: The model cannot be loaded.
    """
    if not has_torch():
        raise MissingPackageError("torch", "quantizing", "quant")
    from p2vit.models.registry import load_model

    if not isinstance(model, str):
        return model
    loaded = load_model(model, options)
    for note in loaded.notes:
        (out or Feedback()).note(f"note: {note}")
    return loaded


def plan(model: "FloatModel", config: "QuantConfig", images: int, output: Path) -> dict[str, Any]:
    """Return what quantizing would do: layers, widths, sizes, memory and files. Write nothing.

    Args:
        model: The float model.
        config: Configuration of the method.
        images: Number of calibration photos.
        output: Folder for the program.
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
    # The quantizer stores two residual streams for each stage; a plain ViT has one stage.
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


@one_writer("output")
def run_quantize(
    model: "str | FloatModel",
    data: "str | PhotoSource",
    output: Path,
    options: QuantizeOptions | None = None,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    out: Feedback | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Quantize a model and save the program.

    Args:
        model: Name of the model as on the command line, or a loaded model.
        data: A folder, a benchmark's name, or open photos.
        output: Folder for the program.
        options: Options; the defaults of `QuantizeOptions` if None.
        overwrite: Replace an existing program.
        dry_run: Return what would be done, and write nothing.
        out: Receives notes and progress.
        **changes: Fields of `QuantizeOptions` that replace those of ``options``.

    Returns:
        The keys of ``p2vit quantize --json``.

    Raises:
        P2vitError: The input or an option is not allowed; the message says what to do.
    """
    options, out = with_embedding(changed(QuantizeOptions, options, changes)), out or Feedback()
    config = choose_config(options.bits, options.method)
    check_place(output, overwrite)
    loaded = named(load(model, options, out), options.class_names, options.class_index)
    feature_maps(maps_of(options), loaded.config)
    photos = open_data(data, loaded.preprocessing, strict=options.strict)
    left_out = say_notes(photos, out)
    if dry_run:
        return plan(loaded, config, photo_count(options), output)
    result = quantize_loaded(loaded, photos, options, out)
    written = write_program(
        result.program, output, overwrite=overwrite, notes=notes_of(loaded, result, options)
    )
    return {
        "seconds": round(result.seconds, 2),
        "calibration_images": result.photos,
        "accuracy_control": control_record(result.control),
        **written,
        "outputs": [each.model_dump() for each in summarize_outputs(result.program)],
        "model": loaded.source,
        "data": data_name(data),
        "bits": options.bits,
        "method": options.method,
        "seed": options.seed,
        "threads": thread_count(options.threads),
        **(assumed := told(loaded)),
        "skipped": skipped(photos),
        "notes": [*assumed["notes"], *left_out],
    }


def quantize_loaded(
    model: "FloatModel", photos: "PhotoSource", options: QuantizeOptions, out: Feedback
) -> "QuantizeResult":
    """Quantize a model that is in memory. Write nothing.

    Args:
        model: The float model.
        photos: Photos to calibrate on.
        options: Options; those for loading a model are not used.
        out: Receives warnings and progress.

    Raises:
        DataError: No photo could be read.
        P2vitError: The method or a width is unknown.
    """
    from p2vit.quant.api import quantize as quantize_model

    config, wanted = choose_config(options.bits, options.method), photo_count(options)
    with out.progress() as progress:

        def make(chosen: "QuantConfig", batches: "Iterable[NDArray[np.uint8]]") -> "QuantizeResult":
            return quantize_model(
                model,
                batches,
                chosen,
                threads=thread_count(options.threads),
                progress=progress,
                seed=options.seed,
                calibration=photos.name,
                maps=feature_maps(maps_of(options) or model.outputs, model.config),
            )

        if options.max_drop is None:
            result = make(config, photos.calibration(wanted, options.seed))
        else:
            result = controlled(
                model, photos, config, replace(options, calib_images=wanted), make, out, progress
            )
    if result.photos < wanted:
        out.warn(f"{photos.name}: there are only {result.photos} photos to calibrate on, not {wanted}")
    if result.photos < FEW_PHOTOS:
        out.warn(
            f"calibrated on {result.photos} photo(s): the ranges may be too narrow; 16 to 64 photos are usual"
        )
    return result


def notes_of(model: "FloatModel", result: "QuantizeResult", options: QuantizeOptions) -> dict[str, Any]:
    """Return the content of the sensitivity file: how the program was made, and the error of each block."""
    return {
        "model": model.source,
        "bits": options.bits,
        "method": options.method,
        "calibration_images": result.photos,
        "blocks": [dict(block) for block in result.blocks],
    }


def skipped(photos: Any) -> list[dict[str, str]]:
    """Return the photos that could not be read, each with the reason."""
    return [{"file": file, "reason": reason} for file, reason in photos.skipped]
