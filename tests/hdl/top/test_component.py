import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from p2vit.hdl.top.component import delay_line, delayed
from p2vit.hdl.top.line import Line
from p2vit.hdl.top.machine import RtlMachine
from p2vit.hdl.top.weight_bank import WeightBank

MACHINE = RtlMachine(lines=2, lanes=2, columns=8)


def test_a_history_is_the_value_cycle_by_cycle():
    m, value = Module(), Signal(8)
    past = delay_line(m, value, 3, "value")
    late = delayed(m, value, 2, "late")
    seen = []

    async def bench(context):
        for number in range(1, 8):
            context.set(value, number)
            seen.append([context.get(each) for each in (*past, late)])
            await context.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert past[0] is value
    assert seen[:2] == [[1, 0, 0, 0, 0], [2, 1, 0, 0, 0]]
    assert seen[-1] == [7, 6, 5, 4, 5]


def test_an_instance_has_every_port_and_no_other():
    connections = {name: Signal(name=name) for name in WeightBank.ports(MACHINE)}
    WeightBank.instance(MACHINE, **connections)
    with pytest.raises(AssertionError, match="weight"):
        WeightBank.instance(
            MACHINE, **{name: value for name, value in connections.items() if name != "weight"}
        )
    with pytest.raises(AssertionError, match="fetched"):
        WeightBank.instance(MACHINE, **connections, fetched=Signal())


def test_ports_follow_the_machine():
    assert set(Line(MACHINE).signature.members) == set(Line.ports(MACHINE))
    assert len(Line(RtlMachine(lines=4, lanes=6)).load_enable) == 6
