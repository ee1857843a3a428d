"""Decodes the fields of a descriptor word."""

from collections.abc import Callable

from amaranth.hdl import Value

from p2vit.hdl.chunks.top.descriptor import FIELDS, Kind


def decoder(word: Value, kind: Kind) -> Callable[[str], Value]:
    """Return a function from a field name to the field of a descriptor word."""
    places, at = {}, 0
    for name, width in FIELDS[kind]:
        places[name] = (at, at + width)
        at += width
    return lambda name: word[slice(*places[name])]
