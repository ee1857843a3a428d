"""Load the float model that a program was made from, to compare with it."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from p2vit.errors import ModelError, P2vitError
from p2vit.program.graph import IntegerProgram
from p2vit.program.maps import FeatureMap
from p2vit.program.preprocessing import Interpolation

if TYPE_CHECKING:
    from p2vit.models.loaded import FloatModel
    from p2vit.models.options import LoadOptions


#: Filters for resizing photos.
FILTERS: tuple[str, ...] = get_args(Interpolation)


def has_torch() -> bool:
    """Whether torch is installed. This does not import it."""
    return importlib.util.find_spec("torch") is not None


def told(model: "FloatModel") -> dict[str, Any]:
    """Return what a result reports about the float model: preprocessing and its source, the check, and assumptions.

    Args:
        model: The loaded model.
    """
    record = model.record
    return {
        "preprocessing": {
            **model.preprocessing.model_dump(mode="json"),
            "in_words": model.preprocessing.in_words,
            "source": model.preprocessing_from,
        },
        "checked": record.get("checked"),
        "notes": list(model.notes),
    }


def recorded_options(program: IntegerProgram) -> "LoadOptions":
    """Return the options that the float model of a program was loaded with.

    Raises:
        ModelError: The provenance of the program is damaged.
    """
    from p2vit.models.architectures import ARCHITECTURES
    from p2vit.models.options import LoadOptions

    provenance = program.provenance
    options = LoadOptions.from_record(provenance.get("load"))
    source, architecture = str(provenance.get("source")), provenance.get("architecture")
    named = source in ARCHITECTURES or source.startswith(("hf:", "random:"))
    if options.arch is None and not named and Path(source).suffix and architecture in ARCHITECTURES:
        options = replace(options, arch=architecture)
    calibration = provenance.get("calibration")
    seed = calibration.get("seed", 0) if isinstance(calibration, Mapping) else 0
    return replace(options, seed=seed if isinstance(seed, int) else 0, check=False)


def reload_float(
    program: IntegerProgram, model: str | None = None, arch: str | None = None, *, optional: bool = True
) -> "FloatModel":
    """Load the float model of a program, with the options that it was quantized with.

    Args:
        program: The program. Its provenance names the model.
        model: Another model, as for ``--model``. The recorded options do not apply to it.
        arch: Architecture of a weight file.
        optional: Whether the verb also works without it, with ``--no-float``; messages then say so.

    Returns:
        The model, for the input size of the program.

    Raises:
        ModelError: The model cannot be found, is not the one that was quantized, or does not match the program.
    """
    from p2vit.models.options import LoadOptions
    from p2vit.models.registry import load_model

    provenance = program.provenance
    without = ", or omit it with --no-float" if optional else ""
    source = model or provenance.get("source")
    if not source:
        raise ModelError("the program does not say which model it was made from; name it with --model")
    recorded_load = recorded_options(program)
    options = recorded_load if model is None else LoadOptions(seed=recorded_load.seed)
    if arch is not None:
        options = replace(options, arch=arch)
    wanted = program.preprocessing.image_size
    try:
        loaded = load_model(str(source), options)
        if loaded.config.image_size != wanted:
            loaded = load_model(str(source), replace(options, image_size=wanted))
    except P2vitError as error:
        raise ModelError(
            f"the float model '{source}' cannot be loaded: {error}. Name it with --model{without}"
        ) from None
    recorded = provenance.get("weights_sha256")
    if model is None and recorded and recorded != loaded.sha256:
        raise ModelError(
            f"{source}: its weights are not those that were quantized (sha256 {loaded.sha256[:12]}, recorded is "
            f"{str(recorded)[:12]}). Give the right ones with --model{without.replace(' it ', ' the float model ')}"
        )
    channels = prod(program.tensors[program.feature].shape)
    if loaded.config.feature_dim != channels:
        raise ModelError(
            f"{source}: it has {loaded.config.feature_dim} feature channels, but the program has {channels}, so it is "
            "not the same model; name the right one with --model"
        )
    return loaded


def float_predict(model: "FloatModel", maps: Sequence[FeatureMap] = ()) -> Any:
    """Return a function from uint8 pixels [B, H, W, 3] to logits, features and feature maps, all float32.

    Args:
        model: A float model in eval mode.
        maps: Feature maps to return; those that are patch tokens of a block.
    """
    import torch

    head = model.module.head
    layers = [each.layer for each in maps if each.layer is not None]

    def predict(pixels: NDArray[np.uint8]) -> Sequence[NDArray[np.float32]]:
        with torch.inference_mode():
            photos = torch.from_numpy(np.ascontiguousarray(pixels))
            features = model.module.features(photos)
            logits = features if head is None else head(features)
            dense = model.module.feature_maps(photos, layers) if layers else {}
        return logits.numpy(), features.numpy(), *(dense[layer].numpy() for layer in layers)

    return predict
