"""Base class of the components of the chunk organisation."""

from typing import ClassVar

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from p2vit.hdl.chunks.machine import ChunkMachine
from p2vit.hdl.chunks.top.port_comments import comment_of
from p2vit.hdl.tools.identifiers import port_name
from p2vit.hdl.tools.verilog import ports_of


class ChunkComponent(wiring.Component):
    """Component that is a Verilog module of its own, whose ports depend on the sizes of the machine.

    Args:
        machine: Sizes of the machine.
    """

    #: Name of the Verilog module.
    verilog_name: ClassVar[str] = ""
    # Components are also made only to read their names; Amaranth must not warn that they are never elaborated.
    _MustUse__silence = True

    def __init__(self, machine: ChunkMachine) -> None:
        self.machine = machine
        super().__init__(self.ports(machine))

    @staticmethod
    def ports(machine: ChunkMachine) -> dict[str, wiring.Member]:
        """Return the ports of the component."""
        raise NotImplementedError

    def port_comments(self) -> dict[str, str]:
        """Return the comment of every port, by its name in Verilog."""
        return {name: comment_of(self.verilog_name, name) for name in ports_of(self)}

    def add_to(self, m: Module, name: str = "") -> None:
        """Instantiate this component as a separate Verilog module, whose ports are the signals of this object."""
        ports = {
            f"{'i' if member.flow == In else 'o'}_{port_name(path)}": value
            for path, member, value in self.signature.flatten(self)
        }
        name = name or self.verilog_name.removeprefix("p2vit_chunk_")
        m.submodules[name] = Instance(self.verilog_name, i_clk=ClockSignal(), i_rst=ResetSignal(), **ports)
