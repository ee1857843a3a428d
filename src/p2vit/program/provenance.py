"""What a program says of where it came from: plain JSON values, of which a few keys are read again."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

#: Levels of objects and lists; what is nested deeper cannot be written and shown everywhere.
MOST_LEVELS = 32

Text = Annotated[str, Field(max_length=4096)]
Width = Annotated[int, Field(ge=2, le=8)]


class Known(BaseModel):
    """Keys that p2vit reads must be of their type; others may be anything."""

    model_config = ConfigDict(extra="allow", strict=True)


class Calibration(Known):
    """The photos that the program was calibrated on."""

    photos: Annotated[int, Field(ge=0, lt=1 << 63)] | None = None
    source: Text | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0


class Method(Known):
    """How it was quantized."""

    weight_bits: Width = 8
    layer_bits: dict[Text, Width] = {}


class Provenance(Known):
    """The keys that verbs read: ``eval`` finds the float model by them, ``report`` and the model card show them."""

    source: Text | None = None
    weights_sha256: Text | None = None
    architecture: Text | None = None
    p2vit: Text | None = None
    torch: Text | None = None
    cpu_capability: Text | None = None
    method: Method | None = None
    calibration: Calibration = Calibration()


def provenance_problem(provenance: dict[str, Any]) -> str:
    """What keeps a provenance from being read, in words; empty if all is well."""
    if levels(provenance) > MOST_LEVELS:
        return f"provenance is nested in more than {MOST_LEVELS} levels"
    try:
        Provenance.model_validate(provenance)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return f"provenance.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return ""


def levels(value: object) -> int:
    """Levels of objects and lists in a JSON value, without recursion."""
    count, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        count += 1
        if count > MOST_LEVELS:
            break
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return count
