import json

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from p2vit.accel.machine.technology import Technology, load_technology
from p2vit.cli.main import run
from p2vit.hdl.modules.mac_array import MacArray
from p2vit.hdl.synthesis.designs import DESIGNS, LINE_LANES, TOPS
from p2vit.hdl.synthesis.liberty import DEFAULT, load_liberty
from p2vit.hdl.synthesis.netlist import synthesize
from p2vit.hdl.synthesis.run import chosen_designs, compare
from p2vit.hdl.synthesis.table import NEEDED, technology_table
from p2vit.hdl.synthesis.timing import analyse, has_sta
from p2vit.hdl.tools.missing import RtlError
from p2vit.hdl.top.machine import RtlMachine
from p2vit.hdl.top.primitives import primitives_verilog
from p2vit.hdl.top.top import Accelerator
from support.rtl_library import LIBRARY


class WriteOnly(wiring.Component):
    """A register and an adder in front of a memory whose output has no logic."""

    def __init__(self):
        super().__init__({"x": In(8), "address": In(3), "y": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = memory.Memory(shape=8, depth=8, init=[])
        write, read = words.write_port(), words.read_port()
        held = Signal(8)
        m.d.sync += held.eq(self.x)
        m.d.comb += [write.addr.eq(self.address), write.data.eq(held + self.x), write.en.eq(1)]
        m.d.comb += [read.addr.eq(self.address), self.y.eq(read.data)]
        return m


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "tiny.lib"
    path.write_text(LIBRARY)
    return load_liberty(path)


def test_a_library_is_read(library):
    assert (library.name, library.nand2) == ("tiny", 3)
    assert library.areas == {"INVX1": 2, "NAND2X1": 3, "BUFX2": 3, "DFFPOSX1": 12}
    assert library.inputs == {"INVX1": {"A"}, "NAND2X1": {"A", "B"}, "BUFX2": {"A"}, "DFFPOSX1": {"D"}}
    assert library.buffer == ("BUFX2", "A", "Y")


def test_libraries_that_are_none_are_refused(tmp_path, library):
    with pytest.raises(RtlError, match=r"tiny2.lib: cannot be read: .* Did you mean 'tiny.lib'"):
        load_liberty(tmp_path / "tiny2.lib")
    (tmp_path / "x.lib").write_text("nothing")
    with pytest.raises(RtlError, match="is not a Liberty file"):
        load_liberty(tmp_path / "x.lib")


def test_thirty_two_registers_are_thirty_two_flip_flops(library):
    found = synthesize(DESIGNS["register32"](), "register32", library)
    assert (found.cells, found.flip_flops, found.area_um2, found.gate_equivalents) == (32, 32, 384, 128)


@pytest.mark.extended
def test_a_multiplier_makes_a_requantizer_several_times_larger():
    rows = {
        name: synthesize(DESIGNS[name](), name, None).to_json()
        for name in ("requant_shift", "requant_multiplier8")
    }
    for row in rows.values():
        row |= {"period_ns": None, "energy_pj": None}
        assert row["area_um2"] is None
    assert compare(rows)["requant_multiplier8"]["area"] > 4


def test_memories_are_counted_in_bits_and_not_as_cells():
    found = synthesize(DESIGNS["shifter_line"](), "shifter_line", None)
    assert found.memory_bits == 2 * 13 * LINE_LANES * 5
    assert found.flip_flops < 1000


def test_what_only_a_memory_takes_is_not_swept_away():
    found = synthesize(WriteOnly(), "write_only", None)
    assert (found.memory_bits, found.flip_flops) == (64, 8)
    assert found.cells > 8


@pytest.mark.extended
def test_modules_that_stand_many_times_are_mapped_once_and_put_together():
    array = MacArray(3, 4, depth=2)
    found = synthesize(array, "array", None)
    line = synthesize(array.repeated_modules()[array.line_name], array.line_name, None)
    assert found.memory_bits == 3 * line.memory_bits == 3 * 2 * 2 * 8 * 4
    assert found.flip_flops > 3 * line.flip_flops
    assert found.cells > 3 * line.cells
    assert not any("mac" in cell.lower() for cell in found.cells_by_type)


@pytest.mark.slow
def test_a_whole_accelerator_is_synthesised():
    machine = RtlMachine(
        lines=2, lanes=2, row_rows=8, weight_rows=16, columns=16, vector_columns=16, table_groups=1
    )
    found = synthesize(Accelerator(machine), "top", None, None, primitives_verilog())
    rows, weights = 2 * 8 * (8 * 2) * 2, 2 * 16 * (8 * 2) * 2
    # A column's parameters are four words here; the array has no use for that of the gain.
    columns = 2 * 16 * (16 * 3) + 2 * 16 * 32 * 2
    vectors = 2 * 16 * (16 * 4) + 2 * 16 * (32 + 16) * 2 + 16 * 32
    tables = 768 * 15 + 2 * 256 * 8
    queues, accumulators = (5 * 8) * 256 + 4 * (16 + 34), 2 * 2 * 32
    assert found.memory_bits == rows + weights + columns + vectors + tables + queues + accumulators
    assert found.flip_flops > 1000


def test_designs_by_name():
    assert chosen_designs(None) == list(DESIGNS)
    assert chosen_designs(["top_rtl_small"]) == ["top_rtl_small"]
    assert set(TOPS) == {"top_rtl", "top_rtl_wide", "top_rtl_small"}
    with pytest.raises(RtlError, match=r"no design 'top_rtl_smal'. Did you mean 'top_rtl_small'"):
        chosen_designs(["top_rtl_smal"])
    with pytest.raises(RtlError, match=r"no design 'requant_shif'. Did you mean 'requant_shift'"):
        chosen_designs(["requant_shif"])


def test_the_table_is_one_that_the_simulator_takes(tmp_path):
    rows = {name: {"area_um2": 10.0 + index, "energy_pj": 1.0 + index} for index, name in enumerate(NEEDED)}
    path = tmp_path / "technology.yaml"
    path.write_text(technology_table(rows, "cells", 180.0, "horowitz45"))
    table = load_technology(str(path))
    assert isinstance(table, Technology)
    assert table.name == "measured synthesis cells"
    assert all("measured synthesis (pre-layout" in source for source in table.sources[:2])
    assert table.area.mac8_um2 == pytest.approx(rows["mac_line"]["area_um2"] / LINE_LANES, abs=0.01)
    assert table.energy.register_bit_pj == pytest.approx(rows["register32"]["energy_pj"] / 32)
    assert table.energy.float32_add_pj == load_technology("horowitz45").energy.float32_add_pj


def test_a_table_without_timing_keeps_the_bases_energies(tmp_path):
    rows = {name: {"area_um2": 10.0, "energy_pj": None} for name in NEEDED}
    (tmp_path / "t.yaml").write_text(technology_table(rows, "cells", 180.0, "horowitz45"))
    table = load_technology(str(tmp_path / "t.yaml"))
    assert table.energy == load_technology("horowitz45").energy
    assert any("no OpenSTA" in source for source in table.sources)


def test_static_timing_of_a_shift(tmp_path):
    if not DEFAULT.exists() or not has_sta():
        pytest.skip("osu018 or OpenSTA is not installed (apt-get install qflow-tech-osu018 opensta)")
    liberty = load_liberty(None)
    found = synthesize(DESIGNS["requant_shift"](), "requant_shift", liberty, tmp_path / "n.v")
    timing = analyse(tmp_path / "n.v", "requant_shift", liberty)
    assert found.logic_delay_ns < timing.period_ns < 10
    assert timing.energy_pj > 0


def test_the_verb_writes_its_files(tmp_path, capsys, library):
    folder = tmp_path / "out"
    words = [
        "synth",
        "-o",
        str(folder),
        "--liberty",
        str(library.path),
        "--design",
        "register32",
        "--json",
        "-q",
    ]
    assert run(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["modules"]["register32"]["area_um2"] == 384
    assert answer["technology"] is None
    assert json.loads((folder / "synthesis.json").read_text())["library"] == "tiny"
    assert "register32" in (folder / "synthesis.md").read_text()
    assert "DFFPOSX1" in (folder / "netlists" / "register32.v").read_text()
    first = (folder / "synthesis.json").read_bytes()
    assert run([*words, "--overwrite"]) == 0
    assert (folder / "synthesis.json").read_bytes() == first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "full"], "full/synthesis.md: exists already; choose another place, or allow overwriting"),
        (["-o", "file"], "exists and is not a folder (it is a file)"),
        (["-o", "new", "--liberty", "no.lib"], "no.lib: cannot be read"),
        (["-o", "new", "--design", "softmx_log2"], "Did you mean 'softmax_log2'"),
        (["-o", "new", "--base", "horowitz46"], "no table is called 'horowitz46'"),
    ],
)
def test_bad_input_is_refused(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "synthesis.md").write_text("")
    (tmp_path / "file").write_text("")
    assert run(["synth", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_without_a_library_gates_are_counted_and_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("p2vit.hdl.synthesis.liberty.DEFAULT", tmp_path / "nowhere.lib")
    assert (
        run(["synth", "-o", str(tmp_path / "out"), "--design", "register32", "--design", "add32", "--json"])
        == 0
    )
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert (answer["library"], answer["label"], answer["technology"]) == (None, "generic gate counts", None)
    assert "generic gates are counted" in answer["notes"][0]
    assert "qflow-tech-osu018 is not installed" in said.err
    assert answer["modules"]["register32"]["gate_equivalents"] == 32
    assert answer["modules"]["add32"]["flip_flops"] == 0


def test_place_and_route_names_its_extra(tmp_path, monkeypatch, capsys, library):
    monkeypatch.setattr("p2vit.hdl.synthesis.ecp5.has_nextpnr", lambda: False)
    words = [
        "synth",
        "-o",
        str(tmp_path / "out"),
        "--liberty",
        str(library.path),
        "--design",
        "register32",
        "--ecp5",
    ]
    assert run(words) == 2
    assert "pip install 'p2vit[ecp5]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
