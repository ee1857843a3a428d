"""One bank of the weight buffer: one term of all columns of a group, read one column per cycle."""

from typing import ClassVar

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl.top.buffers import slot_address
from p2vit.hdl.top.component import MachineComponent
from p2vit.hdl.top.machine import RtlMachine
from p2vit.hdl.top.primitives import RamPorts, ram


class WeightBank(MachineComponent):
    """Holds every ``lanes``-th term of each column. A fetch reads a word, and ``column`` selects a byte of it.

    Latency: two cycles from fetch to byte (memory, selection). Throughput: one column per cycle. No handshake: the
    engine fetches only full slots.
    """

    verilog_name: ClassVar[str] = "p2vit_weight_bank"

    @staticmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Return the ports of a bank."""
        return {
            "load": In(1),
            "load_slot": In(1),
            "load_row": In(16),
            "load_word": In(8 * machine.lines),
            "fetch": In(1),
            "slot": In(1),
            "row": In(16),
            "column": In(range(machine.lines)),
            "enabled": In(1),
            "weight": Out(8),
        }

    def elaborate(self, platform: object) -> Module:
        """Build the memory and the selection."""
        m = Module()
        depth = self.machine.weight_rows
        word = ram(
            m,
            "buffer",
            8 * self.machine.lines,
            2 * depth,
            RamPorts(
                write_enable=self.load,
                write_address=slot_address(self.load_slot, self.load_row, depth),
                write_data=self.load_word,
                read_enable=self.fetch,
                read_address=slot_address(self.slot, self.row, depth),
            ),
        )
        chosen = Signal(8)
        m.d.comb += chosen.eq(word.word_select(self.column, 8))
        byte = Signal(8, reset_less=True)
        m.d.sync += byte.eq(Mux(self.enabled, chosen, 0))
        m.d.comb += self.weight.eq(byte)
        return m
