"""Base class of the accelerator's components, and delay lines."""

from abc import abstractmethod
from typing import Any, ClassVar

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from p2vit.hdl.tools.identifiers import port_name
from p2vit.hdl.tools.verilog import ports_of
from p2vit.hdl.top.machine import RtlMachine
from p2vit.hdl.top.port_comments import comment_of


class MachineComponent(wiring.Component):
    """Component whose ports depend on the sizes of the machine.

    Args:
        machine: Sizes of the accelerator.
    """

    #: Name of the Verilog module. Every component is a module of its own, written once, in a file of its own.
    verilog_name: ClassVar[str] = ""
    # Components are also made only to read their names; Amaranth must not warn that they are never elaborated.
    _MustUse__silence = True

    def __init__(self, machine: RtlMachine) -> None:
        self.machine = machine
        super().__init__(self.ports(machine))

    @staticmethod
    @abstractmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Return the ports of the component."""

    def port_comments(self) -> dict[str, str]:
        """Return the comment of every port, by its name in Verilog."""
        return {name: comment_of(self.verilog_name, name) for name in ports_of(self)}

    def add_to(self, m: Module) -> None:
        """Instantiate this component as a separate Verilog module, whose ports are the signals of this object.

        The instance is called like the module without the prefix ``p2vit_``.
        """
        ports = {
            f"{'i' if member.flow == In else 'o'}_{port_name(path)}": value
            for path, member, value in self.signature.flatten(self)
        }
        name = self.verilog_name.removeprefix("p2vit_")
        m.submodules[name] = Instance(self.verilog_name, i_clk=ClockSignal(), i_rst=ResetSignal(), **ports)

    @classmethod
    def instance(cls, machine: RtlMachine, *, clock: Signal | None = None, **connections: Any) -> Instance:
        """Instantiate the component as a separate Verilog module, which is written only once.

        Args:
            machine: Sizes of the accelerator.
            clock: Clock of the instance; None means the clock of the parent module.
            connections: Port → value or signal, for every port.
        """
        members = cls.ports(machine)
        assert set(members) == set(connections), set(members) ^ set(connections)
        ports = {f"{'i' if members[name].flow == In else 'o'}_{name}": connections[name] for name in members}
        return Instance(
            cls.verilog_name, i_clk=ClockSignal() if clock is None else clock, i_rst=ResetSignal(), **ports
        )


def delay_line(m: Module, value: Value, cycles: int, name: str, *, reset_less: bool = False) -> list[Value]:
    """Add a delay line. Element n of the result is the value delayed by n cycles, for n from 0 to ``cycles``."""
    found = [value]
    for cycle in range(1, cycles + 1):
        following = Signal(value.shape(), name=f"{name}_{cycle}", reset_less=reset_less)
        m.d.sync += following.eq(found[-1])
        found.append(following)
    return found


def delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
    """Return a value delayed by some cycles."""
    return delay_line(m, value, cycles, name)[-1]
