"""The float model beside the original library's own: same weights, its own image pipeline, photos with structure."""

from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from p2vit.data.preprocess import to_pixels
from p2vit.errors import MissingPackageError, ModelError, first_line
from p2vit.models.libraries import import_library, version
from p2vit.models.loaded import Checked, FloatModel
from p2vit.program.preprocessing import Preprocessing

#: Largest difference of an output that is allowed, over the largest output.
ALLOWED = 1e-4
#: Sides of the photos over the model's, (height, width): one wide and one tall, none a round number.
SHAPES = ((1.31, 1.93), (1.77, 1.23))


def check_photos(pre: Preprocessing) -> list[Image.Image]:
    """Photos that every step of a preparation shows in: not square, not grey, with structure at all scales.

    Args:
        pre: Of the model; where it does not resize, the photos are of its size.

    Returns:
        The same RGB photos on every machine.
    """
    rng = np.random.default_rng(0)
    photos = []
    for tall, wide in SHAPES:
        height, width = pre.image_size
        if pre.resize != "none":
            height, width = int(tall * height) + 3, int(wide * width) + 2
        total = np.full((height, width, 3), 255 * rng.random(3))
        for cells in (2, 8, 32):
            noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            total += 0.4 * (np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC)) - 128.0)
        total += rng.normal(0, 12, total.shape)
        photos.append(Image.fromarray(total.clip(0, 255).astype(np.uint8)))
    return photos


def checked(model: FloatModel) -> FloatModel:
    """Compare a model with the original library's, where that can be imported.

    Args:
        model: With its ``original``, or without one.

    Returns:
        The model with the figure, or with a note that says why there is none; nothing changes where the source has no
        original.

    Raises:
        ModelError: they differ; says whether pixels or network, and how to go on.
    """
    original = model.original
    if original is None:
        return model
    try:
        import_library(original.library)
        with torch.random.fork_rng(devices=[]):
            forward, pipeline = original.build(model.options)
    except MissingPackageError:
        return _noted(
            model, f"{original.library} is not installed, so the float model was not compared with its own"
        )
    except Exception as error:  # a library raises whatever it likes for weights that it does not take
        reason = error if isinstance(error, ModelError) else f"{original.library}: {first_line(error)}"
        return _noted(model, f"not compared with the original library's model ({reason})")
    name = f"{original.library} {version(original.library)}"
    largest, apart, levels, ours_alone = 0.0, 0.0, 0.0, 0.0
    photos = check_photos(model.preprocessing)
    with torch.inference_mode():
        for photo in photos:
            pixels = torch.from_numpy(to_pixels(photo, model.preprocessing))[None]
            plain = normalised(pixels, model.preprocessing)
            seen = plain if pipeline is None else pipeline(photo)[None].float()
            if seen.shape != plain.shape:
                raise ModelError(_differs(model, name, _sizes(seen, plain)))
            want, got = forward(seen).flatten(1), model.module(pixels)
            if want.shape != got.shape:
                outputs = f"it puts out {want.shape[1]} numbers, p2vit {got.shape[1]}"
                raise ModelError(_differs(model, name, f"the networks differ: {outputs}"))
            largest = max(largest, float(want.abs().max()))
            apart = max(apart, float((want - got).abs().max()))
            std = torch.tensor(model.preprocessing.std).view(1, 3, 1, 1)
            levels = max(levels, float(((seen - plain) * std).abs().max()) * 255)
            if levels > 1e-2:
                ours_alone = max(ours_alone, float((forward(plain).flatten(1) - got).abs().max()))
    difference = apart / max(largest, 1e-30)
    if not difference <= ALLOWED:
        raise ModelError(
            _differs(model, name, _reason(difference, levels, ours_alone / max(largest, 1e-30), model))
        )
    figure = Checked(name, difference, len(photos), pipeline is not None)
    return replace(model, checked=figure, original=None)


def normalised(pixels: Tensor, pre: Preprocessing) -> Tensor:
    """What a library's module takes: uint8 [B, H, W, 3] to float [B, 3, H, W]."""
    mean, std = torch.tensor(pre.mean), torch.tensor(pre.std)
    return ((pixels / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def _noted(model: FloatModel, note: str) -> FloatModel:
    """The model with one more note."""
    return replace(model, notes=(*model.notes, note), original=None)


def _sizes(seen: Tensor, plain: Tensor) -> str:
    """Photos of different sizes, in words."""
    theirs, ours = (f"{x.shape[2]} × {x.shape[3]}" for x in (seen, plain))
    return f"the pixels differ: it makes photos of {theirs}, p2vit of {ours}; --image-size settles the size"


def _reason(difference: float, levels: float, alone: float, model: FloatModel) -> str:
    """Whether pixels or network differ."""
    figure = f"outputs differ by {difference:.2g} of the largest, allowed is {ALLOWED:g}"
    if levels <= 1e-2:
        return f"on the same pixels {figure}: the networks differ"
    told = f"p2vit: {model.preprocessing.in_words}; from {model.preprocessing_from or 'the source'}"
    also = "" if alone <= ALLOWED else f", and so do the networks (by {alone:.2g} on the same pixels)"
    return (
        f"{figure}: the pixels differ, by up to {levels:.0f} grey levels{also} ({told}). --mean, --std, --crop-pct, "
        "--crop-mode, --interpolation and --image-size state the preparation"
    )


def _differs(model: FloatModel, name: str, reason: str) -> str:
    """The whole message."""
    return (
        f"{model.source}: p2vit would not compute what {name} computes from these weights: {reason}. "
        "--no-check goes on with p2vit's own form all the same"
    )
