"""From what users type to a float model in canonical form."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from p2vit.errors import ModelError, did_you_mean
from p2vit.models.architectures import ARCHITECTURES
from p2vit.models.check import checked
from p2vit.models.loaded import FloatModel, weights_sha256
from p2vit.models.options import LoadOptions
from p2vit.models.restated import restated
from p2vit.models.sources import benchmark
from p2vit.models.sources.weight_file import SUFFIXES

__all__ = ["FloatModel", "LoadOptions", "load_model"]


def load_model(spec: str | Path, options: LoadOptions | None = None, **changes: Any) -> FloatModel:
    """Load a float model.

    Args:
        spec: ``random:ARCH``, ``hf:ORG/NAME``, a benchmark's model (``dinov2-elpv``, ``dinov2-textile``,
            ``dinov2``, ``digits``), a weight file or a folder with one, or a timm name.
        options: What the user says beside the name; all as the source says if None.
        **changes: Fields of `LoadOptions` that replace those of ``options``.

    Returns:
        The model, in eval mode.

    Raises:
        ModelError: it cannot be found, read, or brought to the canonical form.
        MissingPackageError: an optional package is not installed.
    """
    options = replace((options or LoadOptions()).of_the_model, **changes)
    model = replace(_load(spec, options), options=options)
    model = with_stated_preparation(model)
    return checked(model) if options.check else replace(model, original=None)


def with_stated_preparation(model: FloatModel) -> FloatModel:
    """Prepare photos as the user states, where they do.

    Args:
        model: With its ``options``.

    Raises:
        ModelError: a value that no photo can be prepared with.
    """
    options = model.options
    if not options.preparation:
        return model
    preprocessing = restated(model.preprocessing, **options.preparation)
    told = (
        f"{model.preprocessing_from}; {options.flags} as stated"
        if model.preprocessing_from
        else options.flags
    )
    changes: dict[str, Any] = {"preprocessing": preprocessing, "preprocessing_from": told}
    if options.mean is not None or options.std is not None:
        model.module.mean.copy_(torch.tensor(preprocessing.mean))
        model.module.std.copy_(torch.tensor(preprocessing.std))
        changes["sha256"] = weights_sha256(model.module)
    return replace(model, **changes)


def _load(spec: str | Path, options: LoadOptions) -> FloatModel:
    """Load from whichever source a name stands for."""
    image_size, seed = options.image_size, options.seed
    name = str(spec)
    for word in ("hf-hub:", "hf_hub:"):  # as timm writes it
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
            f"'{name}' is neither a file nor a model. A model of the Hugging Face Hub is written "
            f"'hf:ORG/NAME', a weight file ends in {', '.join(SUFFIXES)}, random weights are 'random:ARCH'"
        )
    if name.split(".")[0] not in ARCHITECTURES and (near := did_you_mean(name, benchmark.MODELS)):
        raise ModelError(f"no model '{name}'.{near}")
    from p2vit.models.sources.timm_source import load_timm

    _refuse(options, name, "arch", "key", "heads", "pool")
    return load_timm(name, image_size=image_size)


def _refuse(options: LoadOptions, name: str, *fields: str) -> None:
    """Refuse what is stated of a model that says it itself.

    Raises:
        ModelError: names the option.
    """
    for field in fields:
        if getattr(options, field) is not None:
            raise ModelError(f"--{field} {getattr(options, field)}: '{name}' says that itself; leave it out")
