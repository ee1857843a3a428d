"""Load a float model in canonical form by the name that a user types."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from p2vit.errors import ModelError, did_you_mean
from p2vit.models.architectures import ARCHITECTURES
from p2vit.models.check import check_against_original
from p2vit.models.class_list import with_classes
from p2vit.models.loaded import FloatModel, weights_sha256
from p2vit.models.options import LoadOptions
from p2vit.models.overrides import override_preprocessing
from p2vit.models.sources import benchmark
from p2vit.models.sources.weight_file import SUFFIXES

__all__ = ["FloatModel", "LoadOptions", "load_model"]


def load_model(spec: str | Path, options: LoadOptions | None = None, **changes: Any) -> FloatModel:
    """Load a float model.

    Args:
        spec: ``random:ARCH``, ``hf:ORG/NAME``, a benchmark's model (``dinov2-elpv``, ``dinov2-textile``,
            ``dinov2``, ``digits``), a weight file or a folder with one, or a timm name.
        options: Options of loading; the source's own values if None.
        **changes: Fields of `LoadOptions` that replace those of ``options``.

    Returns:
        The model, in eval mode.

    Raises:
        ModelError: The model cannot be found, read, or converted to the canonical form.
        MissingPackageError: An optional package is not installed.
    """
    options = with_classes(replace((options or LoadOptions()).of_the_model, **changes))
    model = replace(_load(spec, options), options=options)
    _expect_embedding(model)
    model = with_stated_preparation(model)
    return check_against_original(model) if options.check else replace(model, original=None)


def with_stated_preparation(model: FloatModel) -> FloatModel:
    """Override the preprocessing of a model with the values that its ``options`` state.

    Args:
        model: The model.

    Returns:
        The model with the new preprocessing; the same model if the options state none.

    Raises:
        ModelError: A stated value is not allowed.
    """
    options = model.options
    if not options.preparation:
        return model
    preprocessing = override_preprocessing(model.preprocessing, **options.preparation)
    origin = (
        f"{model.preprocessing_from}; {options.flags} as stated"
        if model.preprocessing_from
        else options.flags
    )
    changes: dict[str, Any] = {"preprocessing": preprocessing, "preprocessing_from": origin}
    if options.mean is not None or options.std is not None:
        model.module.mean.copy_(torch.tensor(preprocessing.mean))
        model.module.std.copy_(torch.tensor(preprocessing.std))
        changes["sha256"] = weights_sha256(model.module, model.text_sha256)
    return replace(model, **changes)


def _expect_embedding(model: FloatModel) -> None:
    """Check that a model has the image embedding that its options ask for.

    Raises:
        ModelError: The model has none.
    """
    options = model.options
    if (options.classes or options.embedding) and not model.config.embedding_dim:
        option = "--classes" if options.classes else "--output embedding"
        raise ModelError(
            f"{option}: {model.source} has no image embedding beside a text tower; CLIP and SigLIP of "
            "transformers have, for instance hf:openai/clip-vit-base-patch16 or hf:google/siglip-base-patch16-224"
        )


def _load(spec: str | Path, options: LoadOptions) -> FloatModel:
    """Load a model from the source that its name stands for."""
    image_size, seed = options.image_size, options.seed
    name = str(spec)
    for word in ("hf-hub:", "hf_hub:"):  # timm's prefixes for the Hub
        name = f"hf:{name.removeprefix(word)}" if name.startswith(word) else name
    name = name.removeprefix("local-dir:")
    if name.startswith("random:"):
        from p2vit.models.sources.random import load_random

        _refuse(options, name, "arch", "key", "heads", "pool")
        return load_random(name.removeprefix("random:"), image_size=image_size, seed=seed)
    if name.startswith("hf:"):
        from p2vit.models.sources.huggingface import load_huggingface

        return load_huggingface(name.removeprefix("hf:"), options)
    if name in benchmark.MODELS:
        _refuse(options, name, "arch", "key", "heads", "pool")
        return benchmark.load_benchmark(name, image_size=image_size)
    if Path(name).is_dir():
        from p2vit.models.sources.folder import load_folder

        return load_folder(Path(name), options)
    if Path(name).suffix in SUFFIXES or Path(name).exists():
        from p2vit.models.sources.checkpoint import load_checkpoint

        return load_checkpoint(Path(name), options)
    if "/" in name or ":" in name:
        raise ModelError(
            f"'{name}' is neither a file nor a known model. Write 'hf:ORG/NAME' for a model of the Hugging Face Hub, "
            f"'random:ARCH' for random weights, or the path of a weight file ({', '.join(SUFFIXES)})"
        )
    if name.split(".")[0] not in ARCHITECTURES and (near := did_you_mean(name, benchmark.MODELS)):
        raise ModelError(f"no model '{name}'.{near}")
    from p2vit.models.sources.timm_source import load_timm

    _refuse(options, name, "arch", "key", "heads", "pool")
    return load_timm(name, image_size=image_size)


def _refuse(options: LoadOptions, name: str, *fields: str) -> None:
    """Refuse options that a model's name already determines.

    Raises:
        ModelError: One of the options is given. The message names it.
    """
    for field in fields:
        if getattr(options, field) is not None:
            raise ModelError(
                f"--{field} {getattr(options, field)}: the model '{name}' already determines this; omit --{field}"
            )
