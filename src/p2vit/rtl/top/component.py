"""What every part of the accelerator is made with: ports from the machine's sizes, instances, delayed signals."""

from abc import abstractmethod
from typing import Any, ClassVar

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from p2vit.rtl.top.machine import RtlMachine


class MachineComponent(wiring.Component):
    """A component whose ports follow from the machine's sizes.

    Args:
        machine: Sizes.
    """

    #: Name of the Verilog module, of parts that stand many times and are written once.
    verilog_name: ClassVar[str] = ""
    # Parts are also made to be written out under their names; Amaranth need not warn that they were never elaborated.
    _MustUse__silence = True

    def __init__(self, machine: RtlMachine) -> None:
        self.machine = machine
        super().__init__(self.ports(machine))

    @staticmethod
    @abstractmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Ports of the part in that machine."""

    @classmethod
    def instance(cls, machine: RtlMachine, *, clock: Signal | None = None, **connections: Any) -> Instance:
        """The part as a Verilog module of its own, so that it is written once.

        Args:
            machine: Sizes.
            clock: Its clock, if not that of the module it is put into.
            connections: Port → value or signal; every port.
        """
        members = cls.ports(machine)
        assert set(members) == set(connections), set(members) ^ set(connections)
        ports = {f"{'i' if members[name].flow == In else 'o'}_{name}": connections[name] for name in members}
        return Instance(
            cls.verilog_name, i_clk=ClockSignal() if clock is None else clock, i_rst=ResetSignal(), **ports
        )


def delay_line(m: Module, value: Value, cycles: int, name: str, *, reset_less: bool = False) -> list[Value]:
    """A value and what it was: element n is the value n cycles later, up to ``cycles``."""
    found = [value]
    for cycle in range(1, cycles + 1):
        following = Signal(value.shape(), name=f"{name}_{cycle}", reset_less=reset_less)
        m.d.sync += following.eq(found[-1])
        found.append(following)
    return found


def delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
    """A value some cycles later."""
    return delay_line(m, value, cycles, name)[-1]
