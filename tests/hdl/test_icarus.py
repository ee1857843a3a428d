import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.catalog import example
from p2vit.hdl.icarus import from_hex, run_icarus, to_hex
from p2vit.hdl.tools.missing import RtlError
from support.rtl_checking import need_icarus


def test_hexadecimal_there_and_back():
    words = from_hex("123456789\n0abcdef01\n", 36, "x")
    assert words.tolist() == [[0x23456789, 1], [0xABCDEF01, 0]]
    assert to_hex(words, 36) == "123456789\n0abcdef01\n000000000\n"


def test_unknown_bits_are_an_error():
    with pytest.raises(RtlError, match="x: output beat 1 has unknown bits: 0x"):
        from_hex("01\n0x\n", 8, "x")


def test_a_module_that_gives_fewer_beats_is_named(monkeypatch):
    need_icarus()
    monkeypatch.setattr("p2vit.hdl.icarus.IDLE_LIMIT", 50)
    module, inputs, counts = example("add")
    with pytest.raises(RtlError, match=r"stream 'o' gave 12 of 13 beats; stuck at cycle"):
        run_icarus(module, module.key, inputs, {"o": counts["o"] + 1})


def test_without_icarus_the_package_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    module, inputs, counts = example("add")
    with pytest.raises(
        RtlError, match="needs the program 'iverilog', which is not here; try: apt-get install iverilog"
    ):
        run_icarus(module, module.key, inputs, counts)
