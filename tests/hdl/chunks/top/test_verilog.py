import re

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from p2vit.hdl.chunks.top.verilog import TOP, chunk_verilog
from p2vit.hdl.tools.identifiers import KEYWORDS
from p2vit.hdl.tools.yosys import run_yosys
from support.chunk_programs import SMALL
from support.rtl_ports import modules_of


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return chunk_verilog(SMALL)


@pytest.mark.extended
def test_yosys_finds_no_loop_no_undriven_wire_and_no_latch(files, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    passes = [
        *(f"read_verilog {name}" for name in files),
        f"hierarchy -check -top {TOP}",
        "proc",
        "check -assert",
        "tee -o latches.txt select -list t:$dlatch",
    ]
    run_yosys(passes, "checking the chunk machine", tmp_path)
    assert not (tmp_path / "latches.txt").read_text().strip()


def test_a_line_is_written_once(files):
    assert list(files) == ["p2vit_ram.v", "p2vit_chunk_line.v", f"{TOP}.v"]
    assert len(re.findall(r"^ *p2vit_chunk_line ", files[f"{TOP}.v"], re.MULTILINE)) == SMALL.lines


def test_every_port_has_a_comment_and_a_plain_name(files):
    for text in files.values():
        for name, ports in modules_of(text).items():
            assert ports, name
            for port in ports:
                assert len(port.comment) > 5, f"{name}.{port.name}"
                assert port.name not in KEYWORDS
