"""The float model that a program came from, loaded again to compare with."""

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p2vit.errors import ModelError, P2vitError
from p2vit.program.graph import IntegerProgram

if TYPE_CHECKING:
    from p2vit.models.loaded import FloatModel


def has_torch() -> bool:
    """Whether torch is installed; it is not imported."""
    return importlib.util.find_spec("torch") is not None


def reload_float(program: IntegerProgram, model: str | None = None, arch: str | None = None) -> "FloatModel":
    """Load the float model of a program.

    Args:
        program: Its provenance names the model.
        model: Another one, as ``--model``.
        arch: Architecture of a weight file.

    Returns:
        The model, for photos of the program's size.

    Raises:
        ModelError: it cannot be found, is not the one that was quantized, or does not fit the program.
    """
    from p2vit.models.registry import load_model

    provenance = program.provenance
    source = model or provenance.get("source")
    if not source:
        raise ModelError("the program does not say what model it came from; name it with --model")
    if model is None and arch is None and str(source).endswith((".safetensors", ".pth", ".pt", ".bin")):
        arch = provenance.get("architecture")
    seed = int(provenance.get("calibration", {}).get("seed", 0))
    wanted = program.preprocessing.image_size
    try:
        loaded = load_model(str(source), arch=arch, seed=seed)
    except P2vitError as error:
        raise ModelError(
            f"the float model '{source}' cannot be loaded: {error}. Name it with --model, or leave it out "
            "with --no-float"
        ) from None
    if loaded.config.image_size != wanted:
        loaded = load_model(str(source), arch=arch, seed=seed, image_size=wanted)
    recorded = provenance.get("weights_sha256")
    if model is None and recorded and recorded != loaded.sha256:
        raise ModelError(
            f"{source}: its weights are not those that were quantized (sha256 {loaded.sha256[:12]}, recorded is "
            f"{recorded[:12]}). Give the right ones with --model, or leave the float model out with --no-float"
        )
    channels = program.tensors[program.feature].shape[-1]
    if loaded.config.feature_dim != channels:
        raise ModelError(
            f"{source}: has {loaded.config.feature_dim} channels and the program {channels}: not the same model"
        )
    return loaded


def float_predict(model: "FloatModel") -> Any:
    """Make a function from uint8 pixels [B, H, W, 3] to (logits, features), float32.

    Args:
        model: In eval mode.
    """
    import torch

    head = model.module.head

    def predict(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            features = model.module.features(torch.from_numpy(np.ascontiguousarray(pixels)))
            logits = features if head is None else head(features)
        return logits.numpy(), features.numpy()

    return predict
