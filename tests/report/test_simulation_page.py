import re

import pytest

from p2vit.accel.machine.machines import load_machine
from p2vit.accel.simulate import simulate
from p2vit.accel.workload.resolve import workload_of
from p2vit.report.simulation_page import html_report


@pytest.mark.parametrize("hardware", ["fpga", "single_engine"])
def test_one_offline_file(hardware):
    html = html_report(simulate(workload_of("deit_tiny_patch16_224"), load_machine(hardware), "events"))
    assert html.count("<svg") == 6
    outside = re.findall(r'(?:src|href)="[^"]*"|url\([^)]*\)|@import|<script', html)
    assert outside == []
    assert "modelled" in html
    assert "cacti28" in html
    assert ("GOPS/DSP" in html) == (hardware == "fpga")


def test_the_same_run_gives_the_same_bytes():
    run = simulate(workload_of("digits"), load_machine("edge"), "events")
    assert html_report(run) == html_report(run)


def test_a_closed_form_has_no_tiles():
    with pytest.raises(ValueError, match="needs tiles"):
        html_report(simulate(workload_of("digits"), load_machine("edge")))
