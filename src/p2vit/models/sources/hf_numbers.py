"""The numbers in transformers' ``config.json``: refused by name before anything is made of them."""

import math
from collections.abc import Mapping
from typing import Any

from p2vit.errors import ModelError

#: Key → (smallest, largest) whole number. No ViT has more; a file that says so is damaged or made by hand.
WHOLE = {
    "hidden_size": (1, 1 << 16),
    "num_hidden_layers": (1, 1000),
    "num_attention_heads": (1, 1 << 12),
    "intermediate_size": (1, 1 << 18),
    "patch_size": (1, 1 << 10),
    "num_channels": (1, 1 << 10),
    "num_register_tokens": (0, 1 << 10),
    "embed_dim": (1, 1 << 14),
    "window_size": (1, 1 << 10),
    "projection_dim": (1, 1 << 16),
}
#: Key → (above, at most).
REAL = {"layer_norm_eps": (0.0, 1.0), "mlp_ratio": (0.0, 1024.0)}
#: Keys with a list of whole numbers, one for each stage.
LISTS = {"depths": (1, 1000), "num_heads": (1, 1 << 12)}
MOST_STAGES, MOST_SIDE, MOST_LABELS = 8, 1 << 14, 1 << 20


def check_numbers(meta: Mapping[str, Any], source: str) -> None:
    """Refuse sizes that no model has, and labels that are not numbered.

    Args:
        meta: config.json.
        source: Named in errors.

    Raises:
        ModelError: names the key, its value and what is allowed.
    """
    vision = meta.get("vision_config")
    if vision is not None and not isinstance(vision, Mapping):
        raise ModelError(f"{source}: vision_config is {_shown(vision)}, where an object is needed")
    for part, where in ((meta, ""), (vision or {}, "vision_config.")):
        _check(part, f"{source}: {where}")


def _check(part: Mapping[str, Any], where: str) -> None:
    """One level of a configuration."""
    for key, (least, most) in WHOLE.items():
        if part.get(key) is not None:
            _whole(part[key], least, most, f"{where}{key}")
    for key, (above, top) in REAL.items():
        if part.get(key) is not None:
            value = part[key]
            fine = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not fine or not above < value <= top:
                raise ModelError(
                    f"{where}{key} is {_shown(value)}; allowed are numbers above {above:g} up to {top:g}"
                )
    for key, (least, most) in LISTS.items():
        value = part.get(key)
        if value is None or isinstance(value, int):
            continue
        if not isinstance(value, list | tuple) or not 0 < len(value) <= MOST_STAGES:
            raise ModelError(
                f"{where}{key} is {_shown(value)}, where a list of 1 to {MOST_STAGES} numbers is needed"
            )
        for index, number in enumerate(value):
            _whole(number, least, most, f"{where}{key}[{index}]")
    if part.get("image_size") is not None:
        _size(part["image_size"], f"{where}image_size")
    for key in ("hidden_act", "model_type"):
        if part.get(key) is not None and not isinstance(part[key], str):
            raise ModelError(f"{where}{key} is {_shown(part[key])}, where a name is needed")
    if part.get("id2label") is not None:
        _labels(part["id2label"], f"{where}id2label")


def _whole(value: Any, least: int, most: int, where: str) -> None:
    """A whole number within bounds."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ModelError(f"{where} is {_shown(value)}; allowed are whole numbers from {least} to {most}")


def _size(value: Any, where: str) -> None:
    """Pixels: a number, a pair of them, or an object."""
    sides = (
        value
        if isinstance(value, list | tuple)
        else list(value.values())
        if isinstance(value, Mapping)
        else [value]
    )
    if not 0 < len(sides) <= 2:
        raise ModelError(f"{where} is {_shown(value)}, where a size or (height, width) is needed")
    for side in sides:
        _whole(side, 1, MOST_SIDE, where)


def _labels(labels: Any, where: str) -> None:
    """Names of classes, numbered from 0."""
    if not isinstance(labels, Mapping) or len(labels) > MOST_LABELS:
        raise ModelError(f"{where} is {_shown(labels)}, where an object of numbers and names is needed")
    for key, name in labels.items():
        number = str(key)
        if not (number.isascii() and number.isdigit()) or isinstance(name, Mapping | list):
            raise ModelError(
                f"{where}: {_shown(key)}: {_shown(name)}; needed are whole numbers with a name each"
            )
    numbers = sorted(int(str(key)) for key in labels if len(str(key)) < 12)
    if numbers != list(range(len(labels))):
        raise ModelError(f"{where}: its {len(labels)} numbers are not 0 to {len(labels) - 1}, each once")


def _shown(value: Any) -> str:
    """A value in a message, at most 60 characters of it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
