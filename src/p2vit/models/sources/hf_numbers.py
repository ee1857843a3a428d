"""Check the numbers in transformers' ``config.json`` before they are used."""

import math
from collections.abc import Mapping
from typing import Any

from p2vit.errors import ModelError

#: Key → (smallest, largest) integer. No ViT has more; a file with a larger value is damaged.
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
#: Key → (exclusive lower bound, inclusive upper bound).
REAL = {"layer_norm_eps": (0.0, 1.0), "mlp_ratio": (0.0, 1024.0)}
#: Key with one integer per stage → (smallest, largest).
LISTS = {"depths": (1, 1000), "num_heads": (1, 1 << 12)}
MOST_STAGES, MOST_SIDE, MOST_LABELS = 8, 1 << 14, 1 << 20


def check_numbers(meta: Mapping[str, Any], source: str) -> None:
    """Refuse sizes that no model has, and class names that are not numbered from 0.

    Args:
        meta: Content of config.json.
        source: Name of the source for error messages.

    Raises:
        ModelError: A value is not allowed. The message names the key, its value and the allowed values.
    """
    vision = meta.get("vision_config")
    if vision is not None and not isinstance(vision, Mapping):
        raise ModelError(f"{source}: vision_config is {_shown(vision)}, but must be an object")
    for part, where in ((meta, ""), (vision or {}, "vision_config.")):
        _check(part, f"{source}: {where}")


def _check(part: Mapping[str, Any], where: str) -> None:
    """Check one level of a configuration."""
    for key, (least, most) in WHOLE.items():
        if part.get(key) is not None:
            _whole(part[key], least, most, f"{where}{key}")
    for key, (above, top) in REAL.items():
        if part.get(key) is not None:
            value = part[key]
            fine = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not fine or not above < value <= top:
                raise ModelError(
                    f"{where}{key} is {_shown(value)}, but must be a number above {above:g} and at most {top:g}"
                )
    for key, (least, most) in LISTS.items():
        value = part.get(key)
        if value is None or isinstance(value, int):
            continue
        if not isinstance(value, list | tuple) or not 0 < len(value) <= MOST_STAGES:
            raise ModelError(
                f"{where}{key} is {_shown(value)}, but must be a list of 1 to {MOST_STAGES} numbers"
            )
        for index, number in enumerate(value):
            _whole(number, least, most, f"{where}{key}[{index}]")
    if part.get("image_size") is not None:
        _size(part["image_size"], f"{where}image_size")
    for key in ("hidden_act", "model_type"):
        if part.get(key) is not None and not isinstance(part[key], str):
            raise ModelError(f"{where}{key} is {_shown(part[key])}, but must be a name")
    if part.get("id2label") is not None:
        _labels(part["id2label"], f"{where}id2label")


def _whole(value: Any, least: int, most: int, where: str) -> None:
    """Check an integer against its bounds."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ModelError(f"{where} is {_shown(value)}, but must be an integer from {least} to {most}")


def _size(value: Any, where: str) -> None:
    """Check an image size: a number, a pair of numbers, or an object."""
    sides = (
        value
        if isinstance(value, list | tuple)
        else list(value.values())
        if isinstance(value, Mapping)
        else [value]
    )
    if not 0 < len(sides) <= 2:
        raise ModelError(f"{where} is {_shown(value)}, but must be a size or (height, width) in pixels")
    for side in sides:
        _whole(side, 1, MOST_SIDE, where)


def _labels(labels: Any, where: str) -> None:
    """Check the class names, which must be numbered from 0."""
    if not isinstance(labels, Mapping) or len(labels) > MOST_LABELS:
        raise ModelError(f"{where} is {_shown(labels)}, but must be an object of class numbers and names")
    for key, name in labels.items():
        number = str(key)
        if not (number.isascii() and number.isdigit()) or isinstance(name, Mapping | list):
            raise ModelError(f"{where}: {_shown(key)}: {_shown(name)} is not a class number with a name")
    numbers = sorted(int(str(key)) for key in labels if len(str(key)) < 12)
    if numbers != list(range(len(labels))):
        raise ModelError(f"{where}: the class numbers must be 0 to {len(labels) - 1}, each once")


def _shown(value: Any) -> str:
    """Write a value for a message, with at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
