import json
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.text import in_strings, json_text, lines, message, original, portable, shown

#: All of Unicode, lone surrogates too, and often what the escapes look like.
ANY = st.text(
    st.one_of(st.characters(), st.sampled_from("\\xuUd8f0\udcff\udc80\ud800\x1b\x9b\u202e\n")), max_size=30
)


@given(st.binary(max_size=255))
def test_every_file_name_comes_back(name):
    text = os.fsdecode(name)
    written = portable(text)
    written.encode()
    assert os.fsencode(original(written)) == name


@given(ANY, ANY)
def test_any_text_comes_back_and_no_two_are_written_alike(first, second):
    for text in (first, second):
        portable(text).encode()
        assert original(portable(text)) == text
    assert (portable(first) == portable(second)) == (first == second)


@pytest.mark.parametrize("name", ["a b.png", "é.png", "C:\\photos\\x.png", "日本.jpg", "a\\xzz", "\\"])
def test_ordinary_names_stay_as_they_are(name):
    assert portable(name) == shown(name) == name


def test_how_it_looks():
    assert portable("caf\udce9.png") == r"caf\xe9.png"
    assert portable("caf\\xe9.png") == r"caf\\xe9.png"
    assert portable("\ud800") == r"\ud800"
    assert shown("a\x1b[31m\n\t\x9b\u202eb") == r"a\x1b[31m\n\t\x9b\u202eb"


@given(ANY)
def test_nothing_that_is_shown_moves_a_terminal(text):
    for printed in (shown(text), lines(text), message(text)):
        printed.encode()
        for character in printed:
            kind = unicodedata.category(character)
            assert character in "\n\t" or kind not in ("Cc", "Cs", "Zl", "Zp"), repr(character)
            assert unicodedata.bidirectional(character) not in (
                "RLO",
                "LRO",
                "RLE",
                "LRE",
                "PDF",
                "RLI",
                "LRI",
                "FSI",
            )
    assert "\n" not in shown(text)
    assert shown(shown(text)) == lines(shown(text)) == message(shown(text)) == shown(text)


def test_a_message_keeps_its_own_lines_only():
    assert message("m.yaml: 2 problems\n  - a\n  - b") == "m.yaml: 2 problems\n  - a\n  - b"
    assert message("a\nerror: forged.png: cannot be read") == r"a\nerror: forged.png: cannot be read"


@given(st.dictionaries(ANY, ANY, max_size=3), st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252"]))
def test_json_is_valid_in_every_encoding(value, encoding):
    text = json_text(value, 1, encoding)
    text.encode(encoding)
    assert not {c for c in text if unicodedata.category(c) in ("Cc", "Cs")} - {"\n"}
    assert json.loads(text) == in_strings(value, portable)


def test_json_has_no_nan():
    with pytest.raises(ValueError, match="JSON"):
        json_text({"a": float("nan")})
