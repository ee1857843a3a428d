import warnings

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from p2vit.hdl.datapath.attention_values import STEPS, TOTAL_BITS, RestoringDivider


def test_sixteen_steps_give_the_reciprocal():
    m, total, load = Module(), Signal(TOTAL_BITS), Signal()
    division = RestoringDivider(m, total)
    with m.If(load):
        m.d.sync += division.load()
    with m.Else():
        m.d.sync += division.step()
    rng = np.random.default_rng(0)
    rows = [
        1,
        2,
        3,
        255,
        256,
        (1 << 31) - 1,
        1 << 30,
        *(rng.integers(1, 1 << 31, 60) >> rng.integers(0, 30, 60)),
    ]
    found = []

    async def bench(context):
        for row in (max(int(row), 1) for row in rows):
            context.set(total, row)
            context.set(load, 1)
            await context.tick()
            length = context.get(division.length)
            context.set(load, 0)
            await context.tick().repeat(STEPS)
            found.append((row, length, context.get(division.quotient)))

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator.run()
    assert found == [(row, row.bit_length(), (1 << (row.bit_length() + 14)) // row) for row, _, _ in found]
