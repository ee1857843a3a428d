"""Convert a module in memory (timm, transformers or torchvision) and its preprocessing to the canonical form."""

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from p2vit.errors import ModelError
from p2vit.models.check import check_against_original
from p2vit.models.libraries import import_library
from p2vit.models.loaded import Built, FloatModel, Original, assemble, weights_sha256
from p2vit.models.options import LoadOptions
from p2vit.models.sources import torchvision_layout
from p2vit.models.sources.checkpoint import canonical
from p2vit.models.sources.facts import facts_of
from p2vit.models.sources.hf_original import output_of, preparer
from p2vit.models.sources.hf_processor import FILE, preprocessing_from_hf
from p2vit.models.sources.huggingface import from_huggingface
from p2vit.models.sources.locate import locate
from p2vit.models.sources.shards import read_json
from p2vit.models.sources.timm_original import pipeline
from p2vit.models.sources.timm_source import from_timm_model
from p2vit.models.sources.weight_file import Content
from p2vit.program.preprocessing import Preprocessing

#: Classes of torchvision that have a canonical form.
TORCHVISION = ("VisionTransformer", "SwinTransformer")


def from_module(
    module: nn.Module, preprocessing: Preprocessing | Any | None = None, *, check: bool = True
) -> FloatModel:
    """Convert a module in memory to the canonical form. The module is not changed.

    Args:
        module: A ViT or Swin of timm, transformers or torchvision; also inside DataParallel or torch.compile.
        preprocessing: Preprocessing of photos: p2vit's `Preprocessing`, an image processor of transformers, or the
            transform of torchvision's weights. If None, a module of timm brings its configuration, and a module of
            transformers the preprocessor_config.json of the folder that it was loaded from.
        check: Whether to compare the canonical form with the module.

    Returns:
        The model, with copies of the module's tensors.

    Raises:
        ModelError: The module is of another library or has an unsupported part, or its preprocessing is unknown.
    """
    module = _unwrapped(module)
    home, kind = type(module).__module__.split(".")[0], type(module).__name__
    if home == "timm" and hasattr(module, "pretrained_cfg"):
        model = _from_timm(module, preprocessing)
    elif isinstance(getattr(getattr(module, "config", None), "model_type", None), str):
        model = _from_transformers(module, preprocessing)
    elif home == "torchvision" and kind in TORCHVISION:
        model = _from_torchvision(module, preprocessing)
    else:
        raise ModelError(
            f"a module of the class {type(module).__module__}.{kind} is not supported, only ViTs and Swins of timm, "
            "transformers and torchvision. Save its state dict, and load the file with the architecture's name"
        )
    return check_against_original(model) if check else replace(model, original=None)


def _from_timm(module: nn.Module, given: Any) -> FloatModel:
    """Convert a module of timm."""
    with _evaluating(module):
        model = from_timm_model(module, _timm_name(module))
    stated = None if given is None else as_preprocessing(given, "vit", model.config.image_size)
    if stated is not None:
        model = _prepared(model, stated)

    def build(options: LoadOptions) -> Built:
        transform = (
            None
            if stated is not None
            else pipeline(import_library("timm"), module, model.config.image_size, {})
        )
        return _as_it_is(module), transform

    return replace(model, original=Original("timm", build))


def _timm_name(module: Any) -> str:
    """Return the name of a timm model, with its tag."""
    known = module.pretrained_cfg or {}
    read = known.get if isinstance(known, Mapping) else lambda key: getattr(known, key, None)
    name, tag = read("architecture") or type(module).__name__, read("tag")
    return f"{name}.{tag}" if tag else str(name)


def _from_transformers(module: Any, given: Any) -> FloatModel:
    """Convert a module of transformers."""
    meta = module.config.to_dict() | {"architectures": [type(module).__name__]}
    name = str(getattr(module.config, "_name_or_path", "") or type(module).__name__)
    processor = None
    if given is None:
        file = Path(name) / FILE
        if not file.is_file():
            raise ModelError(
                f"a module of transformers ({type(module).__name__}) does not state its preprocessing, and there "
                f"is no {file}; pass preprocessing=, either a p2vit Preprocessing or the model's image processor"
            )
        processor = read_json(file)
    elif hasattr(given, "to_dict"):
        processor = _processor_content(given)
    options = LoadOptions(pool=None)
    stated = None if processor is not None else as_preprocessing(given, meta["model_type"], (224, 224))
    if stated is not None:
        options = replace(options, image_size=stated.image_size)
    model = from_huggingface(meta, module.state_dict(), processor, name, options=options)
    if stated is not None:
        model = _prepared(replace(model, notes=tuple(n for n in model.notes if FILE not in n)), stated)

    def build(options: LoadOptions) -> Built:
        prepare = None if processor is None else preparer(processor, meta["model_type"], name)
        return _as_it_is(module, lambda exact: output_of(exact, meta, model.config)), prepare

    return replace(model, original=Original("transformers", build))


def _processor_content(processor: Any) -> dict[str, Any]:
    """Return the content of preprocessor_config.json for an image processor."""
    content = dict(processor.to_dict())
    content.setdefault("image_processor_type", type(processor).__name__)
    return content


def _from_torchvision(module: Any, given: Any) -> FloatModel:
    """Convert a ViT or Swin of torchvision."""
    source = f"torchvision's {type(module).__name__}"
    if given is None:
        raise ModelError(
            f"{source} does not state its preprocessing; pass preprocessing=, either a p2vit Preprocessing or the "
            "transform of the weights (weights.transforms())"
        )
    found = locate(Content(dict(module.state_dict())), None, source)
    facts = facts_of(found.state, found.layout, source)
    if found.layout.swin:
        config, _ = torchvision_layout.swin_config(facts, source)
    else:
        config, _ = torchvision_layout.vit_config(facts, module.encoder.layers[0].num_heads, source)  # type: ignore[assignment]
    preprocessing = as_preprocessing(given, "vit", config.image_size)
    config = replace(config, image_size=preprocessing.image_size)
    config, state = canonical(found.state, found.layout, config, source)  # type: ignore[assignment]
    transform = None if isinstance(given, Preprocessing) else given

    def build(options: LoadOptions) -> Built:
        return _as_it_is(module), transform

    return assemble(
        config,
        state,
        preprocessing,
        source=source,
        preprocessing_from="preprocessing=",
        original=Original("torchvision", build),
    )


def as_preprocessing(given: Any, model_type: str, image_size: tuple[int, int]) -> Preprocessing:
    """Convert a preprocessing of any form that `from_module` takes.

    Args:
        given: p2vit's `Preprocessing`, an image processor of transformers, or the transform of torchvision's weights.
        model_type: transformers' name of the family, for an image processor that does not name its class.
        image_size: Image size of the model in pixels, (height, width), for a processor that states no size.

    Returns:
        The preprocessing.

    Raises:
        ModelError: The object has another type, or p2vit cannot express it.
    """
    if isinstance(given, Preprocessing):
        return given
    if hasattr(given, "to_dict"):
        return preprocessing_from_hf(_processor_content(given), model_type, image_size, "preprocessing=")
    if type(given).__name__ == "ImageClassification" and hasattr(given, "resize_size"):
        crop, scaled = (list(side) * 2 for side in (given.crop_size, given.resize_size))
        if len(given.resize_size) > 1:
            raise ModelError("preprocessing=: a transform with two sides in resize_size is not supported")
        return Preprocessing(
            image_size=(crop[0], crop[1]),
            resize="crop",
            scale_to=(scaled[0], scaled[0]),
            interpolation=given.interpolation.value,
            mean=tuple(given.mean),
            std=tuple(given.std),
        )
    raise ModelError(
        f"preprocessing= is a {type(given).__name__}, but must be a p2vit Preprocessing, an image processor of "
        "transformers, or the transform of torchvision's weights (weights.transforms())"
    )


def _prepared(model: FloatModel, pre: Preprocessing) -> FloatModel:
    """Return the model with another preprocessing, which must make photos of the model's image size."""
    if pre.image_size != model.config.image_size:
        raise ModelError(
            f"preprocessing= makes photos of {pre.image_size[0]} × {pre.image_size[1]} pixels, but the module takes "
            f"{model.config.image_size[0]} × {model.config.image_size[1]}"
        )
    model.module.mean.copy_(torch.tensor(pre.mean))
    model.module.std.copy_(torch.tensor(pre.std))
    sha256 = weights_sha256(model.module)
    return replace(model, preprocessing=pre, preprocessing_from="preprocessing=", sha256=sha256)


def _as_it_is(
    module: nn.Module, forward_of: Callable[[nn.Module], Callable[[Tensor], Any]] = lambda module: module
) -> Callable[[Tensor], Tensor]:
    """Wrap a module's forward function so that it runs in eval mode and leaves the training mode as it was.

    A module of 16-bit floats is compared by its weights, through a copy that computes in float32.
    """
    exact = module
    if any(p.is_floating_point() and p.dtype != torch.float32 for p in module.parameters()):
        exact = copy.deepcopy(module).float()
    forward = forward_of(exact)

    def run(x: Tensor) -> Tensor:
        first = next(exact.parameters())
        with _evaluating(exact):
            return forward(x.to(first.device, first.dtype)).float().cpu()

    return run


def _unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside DataParallel, DistributedDataParallel and torch.compile."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def _evaluating(module: nn.Module) -> AbstractContextManager[None]:
    """Return a context in which the module and all its parts are in eval mode."""

    @contextmanager
    def during() -> Any:
        training = {part: part.training for part in module.modules()}
        module.eval()
        try:
            yield
        finally:
            for part, flag in training.items():
                part.training = flag

    return during()
