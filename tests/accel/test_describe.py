from importlib.resources import files
from pathlib import Path

import pytest

from p2vit.accel.describe import counter_design_page, machine_page, peers_page
from p2vit.accel.machine.machines import known_machines, load_machine, machine_schema
from p2vit.accel.peers.description import load_peers

PAGES = Path(__file__).parents[2] / "docs" / "reference" / "hardware"
COUNTER_DESIGNS = ("float_requant", "multiplier_requant", "single_engine")


@pytest.mark.parametrize("name", [name for name in known_machines() if name not in COUNTER_DESIGNS])
def test_the_page_is_the_description(name):
    assert (PAGES / f"{name}.md").read_text(encoding="utf-8") == machine_page(load_machine(name))


def test_the_counter_designs_page_is_the_descriptions():
    page = counter_design_page([load_machine(name) for name in COUNTER_DESIGNS])
    assert (PAGES / "counter-designs.md").read_text(encoding="utf-8") == page


def test_the_page_of_peers_is_their_descriptions():
    assert (PAGES / "peers.md").read_text(encoding="utf-8") == peers_page(load_peers())


def test_the_published_schema_is_the_models():
    assert (files("p2vit.accel.machine") / "machine.schema.json").read_text(
        encoding="utf-8"
    ) == machine_schema()
