"""The float model that a program came from, loaded again to compare with."""

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


#: Filters that photos are resized with.
FILTERS: tuple[str, ...] = get_args(Interpolation)


def has_torch() -> bool:
    """Whether torch is installed; it is not imported."""
    return importlib.util.find_spec("torch") is not None


def told(model: "FloatModel") -> dict[str, Any]:
    """What a result says of the float model: how photos are prepared and why, what was assumed, what was compared.

    Args:
        model: As it was loaded.
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
    """What was stated when the float model of a program was loaded.

    Raises:
        ModelError: the provenance is damaged.
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


def reload_float(program: IntegerProgram, model: str | None = None, arch: str | None = None) -> "FloatModel":
    """Load the float model of a program, with what was stated when it was quantized.

    Args:
        program: Its provenance names the model.
        model: Another one, as ``--model``; then nothing that was stated holds.
        arch: Architecture of a weight file.

    Returns:
        The model, for photos of the program's size.

    Raises:
        ModelError: it cannot be found, is not the one that was quantized, or does not fit the program.
    """
    from p2vit.models.options import LoadOptions
    from p2vit.models.registry import load_model

    provenance = program.provenance
    source = model or provenance.get("source")
    if not source:
        raise ModelError("the program does not say what model it came from; name it with --model")
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
            f"the float model '{source}' cannot be loaded: {error}. Name it with --model, or leave it out "
            "with --no-float"
        ) from None
    recorded = provenance.get("weights_sha256")
    if model is None and recorded and recorded != loaded.sha256:
        raise ModelError(
            f"{source}: its weights are not those that were quantized (sha256 {loaded.sha256[:12]}, recorded is "
            f"{str(recorded)[:12]}). Give the right ones with --model, or leave the float model out with --no-float"
        )
    channels = prod(program.tensors[program.feature].shape)
    if loaded.config.feature_dim != channels:
        raise ModelError(
            f"{source}: its feature has {loaded.config.feature_dim} numbers and the program's {channels}: "
            "not the same model"
        )
    return loaded


def float_predict(model: "FloatModel", maps: Sequence[FeatureMap] = ()) -> Any:
    """Make a function from uint8 pixels [B, H, W, 3] to (logits, features, each of the maps), float32.

    Args:
        model: In eval mode.
        maps: Feature maps to return too; those that are patch tokens of a block.
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
