"""A float model by name, or a module in memory of timm, transformers or torchvision."""

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from p2vit.errors import MissingPackageError
from p2vit.models.options import LoadOptions
from p2vit.workflows.feedback import Feedback
from p2vit.workflows.float_model import has_torch
from p2vit.workflows.options.base import OptionError
from p2vit.workflows.quantize import load

if TYPE_CHECKING:
    from p2vit.models.loaded import FloatModel

#: Prefix of the source of a model in memory. Such a model cannot be loaded again.
MEMORY = "memory:"


def open_model(
    model: Any, options: LoadOptions, preprocessing: Any = None, out: Feedback | None = None
) -> "FloatModel":
    """Return the float model of a name, a path or a module.

    Args:
        model: A name as on the command line, a path, a ``torch.nn.Module``, or a `FloatModel`.
        options: Options for loading a model by name; a module in memory must have the defaults.
        preprocessing: How photos are prepared, if the module does not say: a `Preprocessing`, an image processor of
            transformers, or the transform of torchvision's weights.
        out: Receives notes and warnings.

    Returns:
        The model. The source of a module in memory begins with `MEMORY`.

    Raises:
        MissingPackageError: torch is not installed.
        ModelError: The model cannot be loaded, is not supported, or does not say how photos are prepared.
        OptionError: The model is neither a name nor a module, or an option does not apply to it.
    """
    if not has_torch():
        raise MissingPackageError("torch", "quantizing", "quant")
    import torch

    from p2vit.models.loaded import FloatModel

    named = not isinstance(model, FloatModel | torch.nn.Module)
    if named and preprocessing is not None:
        raise OptionError(
            "preprocessing= is for a module in memory; for a model by name give mean=, std=, crop_pct=, "
            "interpolation= and the like"
        )
    if named:
        if not isinstance(model, str) and not hasattr(model, "__fspath__"):
            raise OptionError(
                "the model must be a name, a path or a torch.nn.Module of timm, transformers or torchvision, not "
                f"{type(model).__name__}"
            )
        return load(str(model), options, out)
    usual = LoadOptions()
    for field in fields(LoadOptions):
        if field.name not in ("seed", "check") and getattr(options, field.name) != getattr(usual, field.name):
            raise OptionError(
                f"{field.name}= is for a model by name; a module in memory has its own, and preprocessing= says how "
                "photos are prepared"
            )
    if isinstance(model, FloatModel):
        return model
    from p2vit.models.sources.module import from_module

    found = from_module(model, preprocessing, check=options.check)
    for note in found.notes:
        (out or Feedback()).note(f"note: {note}")
    return replace(found, source=MEMORY + found.source.removeprefix(MEMORY))
