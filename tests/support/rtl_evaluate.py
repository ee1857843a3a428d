"""Combinational hardware on many inputs, by Amaranth's own simulator."""

import warnings

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator


def evaluate(m: Module, inputs: list[tuple[Signal, list[int]]], output: Signal) -> list[int]:
    """The output for each row of inputs."""
    found = []

    async def bench(context):
        for values in zip(*(column for _, column in inputs), strict=True):
            for (signal, _), value in zip(inputs, values, strict=True):
                context.set(signal, int(value))
            await context.delay(1e-9)
            found.append(context.get(output))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator.run()
    return found


def corners(bits: int, count: int, seed: int = 0) -> list[int]:
    """Signed numbers of a width: its ends, those around zero, and random ones of every size."""
    rng = np.random.default_rng(seed)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    wide = rng.integers(low, high, count, endpoint=True) >> rng.integers(0, bits - 1, count)
    return [low, high, low + 1, high - 1, 0, 1, -1, *wide.tolist()]
