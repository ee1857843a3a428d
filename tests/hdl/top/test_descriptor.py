import pytest

from p2vit.hdl.top.descriptor import DESCRIPTOR_BITS, FIELDS, Descriptor, Kind


def place(kind: Kind, wanted: str) -> int:
    at = 0
    for name, width in FIELDS[kind]:
        if name == wanted:
            return at
        at += width
    raise KeyError(wanted)


def test_every_kind_fits_and_begins_with_its_number():
    for kind in Kind:
        assert sum(width for _, width in FIELDS[kind]) <= DESCRIPTOR_BITS
        assert Descriptor(kind, {}).encode() == kind


def test_loads_and_the_end_wait_by_the_same_bits():
    assert place(Kind.LOAD, "after") == place(Kind.END, "after")


def test_a_field_stands_where_the_list_says_and_negative_numbers_are_twos_complement():
    word = Descriptor(Kind.VECTOR, {"softmax_shift": -3, "count": 77}).encode()
    assert word >> place(Kind.VECTOR, "softmax_shift") & 63 == 61
    assert word >> place(Kind.VECTOR, "count") & 0xFFFF == 77


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"ARRAY\.tail is 256; 8 bits do not hold it \(q\)"):
        Descriptor(Kind.ARRAY, {"tail": 256}, "q").encode()
    with pytest.raises(ValueError, match=r"STORE has no fields \['colums'\]"):
        Descriptor(Kind.STORE, {"colums": 1}).encode()
