"""A pipeline that joins a second stream pairs the right beats under any stalls."""

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, unsigned
from amaranth.lib import wiring

from p2vit.hdl.simulate import ModuleSimulation
from p2vit.hdl.stream import Pipe, sink, source


class Joined(wiring.Component):
    """Adds the beats of a second stream in the middle of the pipeline; even numbers are dropped there."""

    def __init__(self):
        super().__init__(
            {"i": sink(x=unsigned(16)), "side": sink(y=unsigned(16)), "o": source(z=unsigned(17))}
        )

    def elaborate(self, platform):
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        a = pipe.stage(x=self.i.payload.x)
        side = pipe.join(self.side, a.x[0])
        b = pipe.stage(keep=a.x[0], z=a.x + side.y)
        c = pipe.stage(z=b.z)
        pipe.finish(z=c.z)
        return m


@pytest.mark.parametrize("stalls", [(0, 0, 0), (0.6, 0, 0), (0, 0.6, 0), (0, 0, 0.6), (0.3, 0.7, 0.5)])
def test_a_joined_stream_keeps_step(stalls):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 1 << 16, 2000)
    odd = x[x % 2 == 1]
    y = rng.integers(0, 1 << 16, len(odd))
    inputs = {"i": {"x": x}, "side": {"y": y}}
    run = ModuleSimulation(Joined(), "joined").run(
        inputs, {"o": len(odd)}, stall=dict(zip(("i", "side", "o"), stalls, strict=True)), seed=4
    )
    assert (run.unstable, run.surplus) == (0, 0)
    assert (run.outputs["o"]["z"] == odd + y).all()
