import pytest

from p2vit.hdl.tools.identifiers import KEYWORDS, plain_identifiers, plain_name, port_name


def test_the_reserved_words_are_all_that_the_standard_lists():
    # IEEE 1800-2017, table B.1.
    assert len(KEYWORDS) == 248
    assert {"byte", "do", "final", "inside", "logic", "wire", "xor"} <= KEYWORDS


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("byte", "byte_"),
        ("load.flight", "load_flight"),
        ("a__b", "a_b"),
        ("$signal$7", "_signal_7"),
        ("7", "n7"),
        ("p.a[0]", "p_a_0"),
        ("__", "n"),
    ],
)
def test_a_name_becomes_plain(name, plain):
    assert plain_name(name) == plain


def test_a_port_is_called_by_its_path():
    assert port_name(("slots", 0, "full")) == "slots_0_full"


def test_different_names_stay_different():
    text = "  output a_b;\n  wire \\a.b ;\n  wire a__b;\n  assign \\a.b  = a__b;\n  assign a_b = \\a.b ;\n"
    assert plain_identifiers(text) == (
        "  output a_b;\n  wire a_b_2;\n  wire a_b_3;\n  assign a_b_2 = a_b_3;\n  assign a_b = a_b_2;\n"
    )


def test_words_numbers_texts_and_comments_stand():
    text = "  output [7:0] \\output ; // a__b\n  assign \\output  = 8'hff + { 1'h0, q__x.y[3:0] }; \"a__b\"\n"
    assert plain_identifiers(text) == (
        "  output [7:0] output_; // a__b\n  assign output_ = 8'hff + { 1'h0, q_x.y[3:0] }; \"a__b\"\n"
    )
