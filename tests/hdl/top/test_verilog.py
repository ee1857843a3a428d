import re

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from p2vit.hdl.tools.yosys import run_yosys
from p2vit.hdl.top.primitives import PRIMITIVES
from p2vit.hdl.top.verilog import TOP, accelerator_verilog
from support.rtl_programs import ODD, TINY


@pytest.mark.parametrize("machine", [ODD, TINY], ids=lambda machine: machine.name)
def test_yosys_finds_no_loop_no_undriven_wire_and_no_latch_but_the_clock_gates(machine, tmp_path):
    files = accelerator_verilog(machine)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    passes = [
        *(f"read_verilog {name}" for name in files),
        f"hierarchy -check -top {TOP}",
        "proc",
        "check -assert",
        "tee -o latches.txt select -list t:$dlatch",
        "tee -o memories.txt select -list t:$mem_v2 t:$memrd",
    ]
    run_yosys(passes, "checking the accelerator", tmp_path)
    latches = (tmp_path / "latches.txt").read_text().split()
    assert [latch.split("/")[0] for latch in latches] == ["p2vit_clock_gate"]


def test_a_module_that_stands_many_times_is_written_once():
    files = accelerator_verilog(TINY)
    assert set(files) >= {f"{name}.v" for name in PRIMITIVES}
    assert len(re.findall(r"^ *p2vit_line ", files[f"{TOP}.v"], re.MULTILINE)) == TINY.lines
    assert len(re.findall(r"^module ", files["p2vit_line.v"], re.MULTILINE)) == 1
