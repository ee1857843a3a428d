from pathlib import Path

import pytest

pytest.importorskip("amaranth")

from p2vit.hdl.catalog import CATALOG, example, table
from p2vit.hdl.diagram import timing_diagram
from p2vit.hdl.simulate import ModuleSimulation
from p2vit.hdl.tools.missing import RtlError

DOCS = Path(__file__).parents[2] / "docs" / "reference"


def test_the_table_of_the_docs_is_that_of_the_modules():
    assert table() in (DOCS / "rtl.md").read_text(encoding="utf-8")


def test_every_module_has_a_diagram():
    assert {path.stem for path in (DOCS / "rtl").glob("*.svg")} == set(CATALOG)


@pytest.mark.parametrize("name", ["requantizer", "layernorm"])
def test_diagrams_are_what_simulation_shows(name):
    module, inputs, counts = example(name)
    title = (
        f"{name}: {type(module).__name__}, latency {module.timing.latency}, interval {module.timing.interval}"
    )
    drawn = timing_diagram(
        ModuleSimulation(module, module.key), title, inputs, counts, cycles=40, seed=3, stall={"o": 0.2}
    )
    assert drawn == (DOCS / "rtl" / f"{name}.svg").read_text(encoding="utf-8")


def test_an_unknown_module_is_refused():
    with pytest.raises(RtlError, match=r"no module 'layernrom'. Did you mean 'layernorm'"):
        example("layernrom")
