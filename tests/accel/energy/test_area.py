import pytest

from p2vit.accel.energy.area import area_mm2
from p2vit.accel.machine.edit import edit_machine
from p2vit.accel.machine.machines import load_machine
from p2vit.accel.machine.technology import load_technology

PAPER, TABLE = load_machine("paper"), load_technology("cacti28")


def test_more_lanes_take_more_area():
    twice = edit_machine(PAPER, {"chunks.mac_array.lines": 40})
    assert area_mm2(twice, TABLE)["mac_array"] == pytest.approx(2 * area_mm2(PAPER, TABLE)["mac_array"])


def test_counter_designs_get_the_same_requantization_area():
    shift = area_mm2(PAPER, TABLE)["requantization"]
    for name in ("float_requant", "multiplier_requant"):
        assert area_mm2(load_machine(name), TABLE)["requantization"] <= 1.05 * shift


def test_one_engine_has_no_shifters():
    assert area_mm2(load_machine("single_engine"), TABLE)["shifter_array"] == 0
