import re
from collections import Counter

import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.synthesis.fanout import buffer_trees
from p2vit.hdl.synthesis.liberty import load_liberty
from support.rtl_library import LIBRARY


@pytest.fixture
def library(tmp_path):
    (tmp_path / "tiny.lib").write_text(LIBRARY)
    return load_liberty(tmp_path / "tiny.lib")


def netlist(loads: int) -> str:
    """Make a netlist with one register that drives many inverters, and a clock that drives as many registers."""
    cells = ["  DFFPOSX1 _0_ (\n    .CLK(clk),\n    .D(d),\n    .Q(\\held [0])\n  );"]
    for n in range(loads):
        cells.append(f"  INVX1 _i{n}_ (\n    .A(\\held [0]),\n    .Y(n{n})\n  );")
        cells.append(f"  DFFPOSX1 _f{n}_ (\n    .CLK(clk),\n    .D(n{n}),\n    .Q(y{n})\n  );")
    return "\n".join(["module top(clk, d);", "  wire \\held [0] ;", *cells, "endmodule", ""])


def cells(text: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Parse a netlist: instance → (cell, pin → net)."""
    return {
        found[2]: (found[1], dict(re.findall(r"\.(\w+)\((.*?)\)[,\n]", found[3])))
        for found in re.finditer(r"^  (\w+) (\S+) \(\n(.*?)  \);$", text, re.MULTILINE | re.DOTALL)
    }


@pytest.mark.parametrize("loads", [17, 100, 700])
def test_no_net_drives_more_and_every_load_has_the_driver_it_had(library, loads):
    text, buffers = buffer_trees(netlist(loads), library, most=4)
    found = cells(text)
    feeds = {pins["Y"]: pins["A"] for cell, pins in found.values() if cell == "BUFX2"}
    assert len(feeds) == buffers == len(found) - 1 - 2 * loads
    fanout = Counter(pins["A"] for _, pins in found.values() if "A" in pins)
    assert max(fanout.values()) <= 4
    for n in range(loads):
        net, levels = found[f"_i{n}_"][1]["A"], 0
        while net in feeds:
            net, levels = feeds[net], levels + 1
        assert (net, levels > 0) == ("\\held [0]", True)
    # The clock is a tree of its own, made in layout.
    assert all(pins["CLK"] == "clk" for cell, pins in found.values() if cell == "DFFPOSX1")


def test_small_nets_and_libraries_without_a_buffer_are_left(library, tmp_path):
    assert buffer_trees(netlist(16), library) == (netlist(16), 0)
    (tmp_path / "none.lib").write_text(
        LIBRARY.replace("BUFX2", "BUFX2_").replace('function : "(A)"', 'function : "(!A)"')
    )
    poor = load_liberty(tmp_path / "none.lib")
    assert poor.buffer is None
    assert buffer_trees(netlist(50), poor) == (netlist(50), 0)
