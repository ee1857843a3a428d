"""A larger generated accelerator is never slower. `make sweep` counts every case."""

from dataclasses import replace

import pytest

from p2vit.accel.mapping import map_workload
from p2vit.accel.workload.precision import Precision
from p2vit.accel.workload.resolve import workload_of
from p2vit.hdl.description import description_of
from p2vit.hdl.growth import STEPS, larger
from p2vit.hdl.top.machine import MACHINES


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("model", ["digits", "deit_tiny_patch16_224"])
@pytest.mark.parametrize("name", MACHINES)
def test_a_larger_machine_is_never_slower(name, model, bits):
    workload = workload_of(model, Precision(bits))
    before = map_workload(description_of(MACHINES[name], name), workload).timing
    if before is None:
        assert (name, model) == ("rtl-small", "deit_tiny_patch16_224")
        return
    slower = {}
    for change, machine in larger(MACHINES[name]):
        after = map_workload(description_of(machine, name), workload).timing
        if after is None or after.cycles > before.cycles:
            slower[change] = after and after.cycles / before.cycles
    assert slower == {}


def test_every_size_grows():
    made = dict(larger(MACHINES["rtl"]))
    assert {change.partition("=")[0] for change in made} == set(STEPS)
    for change, machine in made.items():
        size, _, value = change.partition("=")
        assert getattr(machine, size) == int(value) > getattr(MACHINES["rtl"], size)


def test_what_is_not_allowed_is_left_out():
    widest = replace(MACHINES["rtl"], lines=64)
    assert [change for change, _ in larger(widest) if change.startswith("lines")] == []
