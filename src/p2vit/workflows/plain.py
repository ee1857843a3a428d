"""Convert results to JSON."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from p2vit.text import json_text

#: A result that becomes one JSON object.
Result = Mapping[str, Any] | BaseModel


def plain(value: Any) -> Any:
    """Convert a result to JSON types: models to objects, infinities and NaN to null, tuples to lists."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(data: Result) -> str:
    """Return a result as an indented JSON object."""
    return json_text(plain(data), indent=1)
