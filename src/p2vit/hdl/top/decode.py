"""Decodes the fields of a descriptor word."""

from collections.abc import Callable

from amaranth.hdl import Value

from p2vit.hdl.top.descriptor import FIELDS, Kind


def field(word: Value, kind: Kind, name: str) -> Value:
    """Return a field of a descriptor word, at the position that ``FIELDS`` defines.

    Raises:
        KeyError: The kind has no such field.
    """
    at = 0
    for key, width in FIELDS[kind]:
        if key == name:
            return word[at : at + width]
        at += width
    raise KeyError(f"{kind.name}.{name}")


def decoder(word: Value, kind: Kind) -> Callable[[str], Value]:
    """Return a function from a field name to the field of a descriptor word."""
    return lambda name: field(word, kind, name)
