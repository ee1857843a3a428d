"""Compare a float model with the original library's model: same weights, same photos, the library's image pipeline."""

from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from p2vit.data.preprocess import to_pixels
from p2vit.errors import MissingPackageError, ModelError, first_line
from p2vit.models.canonical import CanonicalViT
from p2vit.models.libraries import import_library, version
from p2vit.models.loaded import FloatModel, OriginalCheck
from p2vit.program.preprocessing import Preprocessing

#: Largest allowed difference of an output, relative to the largest absolute output.
ALLOWED = 1e-4
#: Photo size relative to the model's image size, (height, width): one wide and one tall photo, no round factor.
SHAPES = ((1.31, 1.93), (1.77, 1.23))


def check_photos(pre: Preprocessing) -> list[Image.Image]:
    """Make photos that reveal a difference in any preprocessing step.

    The photos are neither square nor grey, and they have structure at all scales.

    Args:
        pre: Preprocessing of the model. If it does not resize, the photos have the model's image size.

    Returns:
        Two RGB photos, the same on every machine.
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


def check_against_original(model: FloatModel) -> FloatModel:
    """Compare a model's outputs with those of the original library, if that library can be imported.

    Args:
        model: The model. Without an ``original``, there is nothing to compare with, and it is returned unchanged.

    Returns:
        The model with its ``checked`` result, or with a note that says why it could not be compared.

    Raises:
        ModelError: The outputs differ by more than `ALLOWED`. The message says whether the pixels or the networks
            differ, and which options help.
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
            model, f"{original.library} is not installed, so the float model was not compared with it"
        )
    except Exception as error:  # a library may raise anything for weights that it does not accept
        reason = error if isinstance(error, ModelError) else f"{original.library}: {first_line(error)}"
        return _noted(model, f"not compared with the original library's model ({reason})")
    name = f"{original.library} {version(original.library)}"

    def theirs(photo: Tensor) -> Tensor:
        try:
            return forward(photo).flatten(1)
        except (
            AssertionError,
            IndexError,
            TypeError,
            ValueError,
        ) as error:  # a size that the library does not take
            reason = f"the networks differ: it refuses the photo ({first_line(error)})"
            raise ModelError(_differs(model, name, reason)) from None

    largest, apart, grey_levels, network_apart = 0.0, 0.0, 0.0, 0.0
    photos = check_photos(model.preprocessing)
    with torch.inference_mode():
        for photo in photos:
            pixels = torch.from_numpy(to_pixels(photo, model.preprocessing))[None]
            plain = normalise_pixels(pixels, model.preprocessing)
            seen = plain if pipeline is None else pipeline(photo)[None].float()
            if seen.shape != plain.shape:
                raise ModelError(_differs(model, name, _sizes(seen, plain)))
            want, got = theirs(seen), _output(model.module, pixels, original.maps)
            if want.shape != got.shape:
                outputs = f"it has {want.shape[1]} outputs, p2vit has {got.shape[1]}"
                raise ModelError(_differs(model, name, f"the networks differ: {outputs}"))
            largest = max(largest, float(want.abs().max()))
            apart = max(apart, float((want - got).abs().max()))
            std = torch.tensor(model.preprocessing.std).view(1, 3, 1, 1)
            grey_levels = max(grey_levels, float(((seen - plain) * std).abs().max()) * 255)
            if grey_levels > 1e-2:
                network_apart = max(network_apart, float((theirs(plain) - got).abs().max()))
    difference = apart / max(largest, 1e-30)
    if not difference <= ALLOWED:
        raise ModelError(
            _differs(
                model, name, _reason(difference, grey_levels, network_apart / max(largest, 1e-30), model)
            )
        )
    figure = OriginalCheck(name, difference, len(photos), pipeline is not None)
    return replace(model, checked=figure, original=None)


def normalise_pixels(pixels: Tensor, pre: Preprocessing) -> Tensor:
    """Normalise pixels as a library's module takes them: uint8 [B, H, W, 3] to float [B, 3, H, W]."""
    mean, std = torch.tensor(pre.mean), torch.tensor(pre.std)
    return ((pixels / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def _noted(model: FloatModel, note: str) -> FloatModel:
    """Return the model with one more note and without its original."""
    return replace(model, notes=(*model.notes, note), original=None)


def _sizes(seen: Tensor, plain: Tensor) -> str:
    """Say that the two image pipelines make photos of different sizes."""
    theirs, ours = (f"{x.shape[2]} × {x.shape[3]}" for x in (seen, plain))
    return f"the pixels differ: it makes photos of {theirs} pixels, p2vit of {ours}; state the size with --image-size"


def _reason(difference: float, grey_levels: float, network_difference: float, model: FloatModel) -> str:
    """Say whether the pixels or the networks differ."""
    figure = f"outputs differ by {difference:.2g} of the largest, allowed is {ALLOWED:g}"
    if grey_levels <= 1e-2:
        return f"on the same pixels {figure}: the networks differ"
    ours = f"p2vit: {model.preprocessing.in_words}; from {model.preprocessing_from or 'the source'}"
    also = (
        ""
        if network_difference <= ALLOWED
        else f", and so do the networks (by {network_difference:.2g} on the same pixels)"
    )
    return (
        f"{figure}: the pixels differ, by up to {grey_levels:.0f} grey levels{also} ({ours}). State the preprocessing "
        "with --mean, --std, --crop-pct, --crop-mode, --interpolation and --image-size"
    )


def _differs(model: FloatModel, name: str, reason: str) -> str:
    """Build the message for a model that differs from the original."""
    return (
        f"{model.source}: p2vit would not compute what {name} computes from these weights: {reason}. "
        "To continue without this comparison, add --no-check"
    )


def _output(module: CanonicalViT, pixels: Tensor, maps: tuple[int, ...]) -> Tensor:
    """What the library's model puts out too: the output, or feature maps one after the other, [B, numbers]."""
    if not maps:
        return module(pixels)
    found = module.feature_maps(pixels, maps)
    return torch.cat([found[layer].flatten(1) for layer in maps], dim=1)
