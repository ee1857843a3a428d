import warnings

import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from amaranth.sim import Simulator

from p2vit.hdl.top.slots import SlotReader, SlotWriter, counter, reader_signature, writer_signature


class Engine(wiring.Component):
    """Starts a run in every cycle in which its buffers are ready."""

    def __init__(self):
        super().__init__({"rows": Out(reader_signature()), "results": Out(writer_signature())})
        self.take, self.release, self.emit, self.start, self.final, self.written = (
            Signal() for _ in range(6)
        )

    def elaborate(self, platform):
        m = Module()
        self.reader = SlotReader(
            m, self.rows, "rows", start=self.start, final=self.final, take=self.take, release=self.release
        )
        self.writer = SlotWriter(
            m, self.results, start=self.start, final=self.final, emit=self.emit, written=self.written
        )
        self.ready = Signal()
        m.d.comb += self.ready.eq(self.reader.ready & self.writer.ready)
        return m


def simulate(m: Module, bench) -> None:
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator.run()


def test_a_run_waits_only_for_what_it_takes():
    engine = Engine()

    async def bench(context):
        await context.tick()
        assert context.get(engine.ready)
        context.set(engine.take, 1)
        assert not context.get(engine.ready)
        context.set(engine.rows.full, 1)
        assert context.get(engine.ready)
        context.set(engine.emit, 1)
        assert not context.get(engine.ready)
        context.set(engine.results.free, 1)
        assert context.get(engine.ready)
        assert not context.get(engine.rows.take)
        context.set(engine.start, 1)
        assert context.get(engine.rows.take)
        assert context.get(engine.results.take)

    simulate(engine, bench)


@pytest.mark.parametrize("last", [0, 1])
def test_slots_change_with_the_run_that_is_said_to_be_the_last(last):
    engine = Engine()

    async def bench(context):
        context.set(engine.release, last)
        context.set(engine.emit, last)
        context.set(engine.start, 1)
        await context.tick()
        context.set(engine.start, 0)
        # What the next run says does not matter to this one.
        context.set(engine.release, 1 - last)
        context.set(engine.emit, 1 - last)
        context.set(engine.written, 1)
        await context.tick().repeat(3)
        assert context.get(engine.writer.column) == 3
        context.set(engine.final, 1)
        assert context.get(engine.rows.release) == context.get(engine.results.finish) == last
        await context.tick()
        assert context.get(engine.reader.slot) == context.get(engine.writer.slot) == last

    simulate(engine, bench)


def test_a_counter_gives_and_takes_in_one_cycle():
    m, give, take = Module(), Signal(), Signal()
    count = counter(m, 2, give, take, "free")
    found = []

    async def bench(context):
        for one, other in ((0, 1), (1, 1), (0, 1), (1, 0)):
            context.set(give, one)
            context.set(take, other)
            await context.tick()
            found.append(context.get(count))

    simulate(m, bench)
    assert found == [1, 1, 0, 1]
