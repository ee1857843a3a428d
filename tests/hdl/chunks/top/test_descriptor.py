import re
from pathlib import Path

import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Const

from p2vit.hdl.chunks.top.decode import decoder
from p2vit.hdl.chunks.top.descriptor import DESCRIPTOR_BITS, FIELDS, Descriptor, Kind


@pytest.mark.parametrize("kind", Kind)
def test_the_decoder_reads_what_is_encoded(kind):
    values = {
        name: (37 * at + 5) % (1 << width) for at, (name, width) in enumerate(FIELDS[kind]) if name != "kind"
    }
    word = Descriptor(kind, values).encode()
    take = decoder(Const(word, DESCRIPTOR_BITS), kind)
    at = 0
    for name, width in FIELDS[kind]:
        assert len(take(name)) == width
        assert word >> at & ((1 << width) - 1) == (int(kind) if name == "kind" else values[name])
        at += width
    assert at <= DESCRIPTOR_BITS


def test_what_does_not_fit_is_a_defect():
    with pytest.raises(ValueError, match=r"ARRAY\.guard is 16; 4 bits do not hold it"):
        Descriptor(Kind.ARRAY, {"guard": 16}).encode()
    with pytest.raises(ValueError, match="END has no fields"):
        Descriptor(Kind.END, {"guard": 1}).encode()


def test_the_page_has_every_field_at_its_bits():
    page = (Path(__file__).parents[4] / "docs" / "reference" / "rtl-chunks.md").read_text(encoding="utf-8")
    for kind in (Kind.LOAD, Kind.ARRAY, Kind.NORM, Kind.SOFTMAX):
        part = page.split(f"### {kind.name}\n")[1].split("\n###")[0]
        rows = re.findall(r"^\| `(\w+)` \| (\d+)(?::(\d+))? \| \S.*\|$", part, re.MULTILINE)
        found = [(name, int(high) - int(low or high) + 1, int(low or high)) for name, high, low in rows]
        at, wanted = 0, []
        for name, width in FIELDS[kind]:
            wanted.append((name, width, at))
            at += width
        assert found == wanted[1:]
