"""The provenance of a program: plain JSON values. p2vit reads some keys again, and checks their types."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

#: Largest depth of nested objects and lists.
MOST_LEVELS = 32

Text = Annotated[str, Field(max_length=4096)]
Width = Annotated[int, Field(ge=2, le=8)]


class Known(BaseModel):
    """Base class: the listed keys must have their type, and further keys are allowed."""

    model_config = ConfigDict(extra="allow", strict=True)


class Calibration(Known):
    """The photos that the program was calibrated on."""

    photos: Annotated[int, Field(ge=0, lt=1 << 63)] | None = None
    source: Text | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0


class Method(Known):
    """The quantization method."""

    weight_bits: Width = 8
    layer_bits: dict[Text, Width] = {}


class Provenance(Known):
    """The keys that verbs read. ``eval`` finds the float model by them; ``report`` and the model card show them."""

    source: Text | None = None
    weights_sha256: Text | None = None
    architecture: Text | None = None
    p2vit: Text | None = None
    torch: Text | None = None
    cpu_capability: Text | None = None
    method: Method | None = None
    calibration: Calibration = Calibration()


def provenance_problem(provenance: dict[str, Any]) -> str:
    """Return what is wrong with a provenance, as a text; empty if nothing is."""
    if levels(provenance) > MOST_LEVELS:
        return f"provenance is nested in more than {MOST_LEVELS} levels"
    try:
        Provenance.model_validate(provenance)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return f"provenance.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return ""


def levels(value: object) -> int:
    """Return the depth of nested objects and lists in a JSON value, at most `MOST_LEVELS` + 1."""
    count, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        count += 1
        if count > MOST_LEVELS:
            break
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return count
