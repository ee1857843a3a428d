"""Fields of a descriptor as slices of its word."""

from collections.abc import Callable

from amaranth.hdl import Value

from p2vit.rtl.top.descriptor import FIELDS, Kind


def field(word: Value, kind: Kind, name: str) -> Value:
    """A field of a descriptor, by the list that encodes it.

    Raises:
        KeyError: the kind has no such field.
    """
    at = 0
    for key, width in FIELDS[kind]:
        if key == name:
            return word[at : at + width]
        at += width
    raise KeyError(f"{kind.name}.{name}")


def decoder(word: Value, kind: Kind) -> Callable[[str], Value]:
    """The fields of one kind of descriptor, by name."""
    return lambda name: field(word, kind, name)
