"""The encoding of descriptors, on the words of both organisations."""

import pytest

from p2vit.hdl.chunks.top import descriptor as chunks
from p2vit.hdl.top import descriptor as load_store


@pytest.mark.parametrize("of", [load_store, chunks], ids=["load-store", "chunks"])
def test_every_field_of_every_kind_comes_back_from_the_bytes(of):
    for kind in of.Kind:
        values = {name: index % 2 for index, (name, _) in enumerate(of.FIELDS[kind]) if name != "kind"}
        data = of.Descriptor(kind, values).to_bytes()
        assert len(data) == of.DESCRIPTOR_BYTES
        word = int.from_bytes(data, "little")
        for name, width in of.FIELDS[kind]:
            expected = int(kind) if name == "kind" else values[name]
            assert word & ((1 << width) - 1) == expected, (kind, name)
            word >>= width
        assert word == 0


@pytest.mark.parametrize("of", [load_store, chunks], ids=["load-store", "chunks"])
def test_what_does_not_fit_is_refused(of):
    with pytest.raises(ValueError, match="END has no fields"):
        of.Descriptor(of.Kind.END, {"no_such_field": 1}).encode()
    kind, (name, width) = next(
        (kind, each) for kind in of.Kind for each in of.FIELDS[kind] if each[0] not in ("kind", "_unused")
    )
    with pytest.raises(ValueError, match=f"{width} bits do not hold it"):
        of.Descriptor(kind, {name: 1 << width}, "a node").encode()
