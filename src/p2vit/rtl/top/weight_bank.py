"""One bank of the weight buffer: a term of all columns of a group, of which one column's byte goes out per cycle."""

from typing import ClassVar

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.rtl.top.buffers import slot_address
from p2vit.rtl.top.component import MachineComponent
from p2vit.rtl.top.machine import RtlMachine
from p2vit.rtl.top.primitives import RamPorts, ram


class WeightBank(MachineComponent):
    """Holds the terms ≡ p (mod lanes) of every column. A fetch brings a word; ``column`` picks its byte.

    Latency: fetch to byte two cycles (memory, selection). Throughput: one column per cycle.
    """

    verilog_name: ClassVar[str] = "p2vit_weight_bank"

    @staticmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Ports of a bank of that machine."""
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
            "byte": Out(8),
        }

    def elaborate(self, platform: object) -> Module:
        """Memory, then selection."""
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
        m.d.comb += self.byte.eq(byte)
        return m
