import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import ClockDomain, Module, Signal
from amaranth.lib import wiring
from amaranth.sim import Simulator

from p2vit.hdl.top.bus import memory_signature
from p2vit.hdl.top.machine import MAX_READS
from p2vit.hdl.top.reads import ReadsInFlight
from support.rtl_programs import TINY


class Counter(wiring.Component):
    """A requester that asks whenever it may."""

    def __init__(self) -> None:
        super().__init__({"memory": wiring.Out(memory_signature(TINY))})
        self.cold, self.rst, self.answered = Signal(), Signal(), Signal()

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = domain = ClockDomain("sync")
        reads = ReadsInFlight(m, self.memory, self.cold)
        m.d.comb += [
            domain.rst.eq(self.rst),
            self.memory.read_valid.eq(reads.allowed),
            self.answered.eq(reads.answered),
        ]
        return m


def simulate(bench) -> None:
    design = Counter()
    simulator = Simulator(design)
    simulator.add_clock(1e-6)

    async def with_design(context):
        await bench(context, design)

    simulator.add_testbench(with_design)
    simulator.run()


async def cycle(context, design, *, ready=0, answer=0, rst=0, cold=0) -> tuple[int, int]:
    """One cycle: whether a read was requested, and whether the answer belongs to this run."""
    context.set(design.memory.read_ready, ready)
    context.set(design.memory.answer_valid, answer)
    context.set(design.rst, rst)
    context.set(design.cold, cold)
    await context.delay(1e-9)
    seen = context.get(design.memory.read_valid), context.get(design.answered)
    await context.tick()
    return seen


def test_no_more_reads_than_the_limit_are_in_flight():
    async def bench(context, design):
        for _ in range(MAX_READS):
            assert (await cycle(context, design, ready=1))[0]
        for _ in range(3):
            assert not (await cycle(context, design, ready=1))[0]
        assert await cycle(context, design, ready=1, answer=1) == (0, 1)
        assert (await cycle(context, design, ready=1))[0]
        assert not (await cycle(context, design, ready=1))[0]

    simulate(bench)


@pytest.mark.parametrize("held", [1, 2, 9])
def test_answers_to_reads_from_before_a_reset_are_dropped(held):
    async def bench(context, design):
        for _ in range(10):
            await cycle(context, design, ready=1)
        assert await cycle(context, design, ready=1, answer=1) == (1, 1)
        # One old answer comes in the reset; no read is requested in it.
        for number in range(held):
            assert not (await cycle(context, design, ready=1, answer=int(number == 0), rst=1))[0]
        for _ in range(5):
            assert (await cycle(context, design, ready=1))[0]
        answers = [(await cycle(context, design, answer=1))[1] for _ in range(14)]
        assert answers == [0] * 9 + [1] * 5

    simulate(bench)


def test_two_resets_in_a_row_drop_all_older_answers():
    async def bench(context, design):
        for _ in range(3):
            await cycle(context, design, ready=1)
        await cycle(context, design, rst=1)
        for _ in range(2):
            await cycle(context, design, ready=1)
        assert not (await cycle(context, design, answer=1))[1]
        await cycle(context, design, rst=1)
        await cycle(context, design, ready=1)
        assert [(await cycle(context, design, answer=1))[1] for _ in range(5)] == [0, 0, 0, 0, 1]

    simulate(bench)


def test_a_cold_reset_forgets_them():
    async def bench(context, design):
        for _ in range(4):
            await cycle(context, design, ready=1)
        await cycle(context, design, rst=1, cold=1)
        await cycle(context, design, ready=1)
        assert (await cycle(context, design, answer=1))[1]

    simulate(bench)
