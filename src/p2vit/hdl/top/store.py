"""Store engine: writes full output buffers to the external memory, in order."""

from typing import ClassVar

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from p2vit.hdl.top.buffers import output_signature
from p2vit.hdl.top.bus import queue_signature
from p2vit.hdl.top.component import MachineComponent
from p2vit.hdl.top.decode import decoder
from p2vit.hdl.top.descriptor import Kind, Source
from p2vit.hdl.top.machine import RtlMachine
from p2vit.hdl.top.slots import reader_signature

#: Words of the write queue in front of the memory.
WRITES_WAITING = 4


class StoreEngine(MachineComponent):
    """Executes stores: the byte planes of a column, then the next column, to consecutive addresses.

    Throughput: one word per cycle. Handshake: a store waits until the output buffer of its source is full. It counts
    as done when the memory has accepted its last word.
    """

    verilog_name: ClassVar[str] = "p2vit_store_engine"

    @staticmethod
    def ports(machine: RtlMachine) -> dict[str, wiring.Member]:
        """Return the ports: descriptors, output buffers with slots, and the write side of the external memory."""
        sources = len(Source)
        return {
            "queue": In(queue_signature()),
            "buffers": Out(output_signature(machine)).array(sources),
            "slots": Out(reader_signature()).array(sources),
            "stores_done": Out(24),
            "write_valid": Out(1),
            "write_ready": In(1),
            "write_address": Out(32),
            "write_data": Out(8 * machine.lines),
        }

    def elaborate(self, platform: object) -> Module:
        """Build the read of the buffer and a short queue; ``write_ready`` of the memory reaches only the queue."""
        m = Module()
        take = decoder(self.queue.word, Kind.STORE)
        width = 8 * self.machine.lines
        source, planes = Signal(), Signal(3)
        column, plane, left = Signal(16), Signal(2), Signal(16)
        address = Signal(32)
        slots = Array(Signal(name=f"{kind.name.lower()}_slot") for kind in Source)
        full = Array(self.slots[kind].full for kind in Source)
        data = Array(self.buffers[kind].data for kind in Source)
        reading, step, start, last_read = Signal(), Signal(), Signal(), Signal()
        arrived, arrived_last, arrived_source = Signal(), Signal(), Signal()
        m.submodules.waiting = waiting = SyncFIFO(width=width + 34, depth=WRITES_WAITING)
        m.d.comb += [
            start.eq(self.queue.valid & ~reading & full[take("source")]),
            self.queue.ready.eq(start),
            step.eq(reading & (waiting.level + arrived < WRITES_WAITING)),
            last_read.eq((left == 1) & (plane == planes - 1)),
            waiting.w_en.eq(arrived),
            waiting.w_data.eq(Cat(data[arrived_source], address, arrived_last, arrived_source)),
            self.write_valid.eq(waiting.r_rdy),
            self.write_data.eq(waiting.r_data[:width]),
            self.write_address.eq(waiting.r_data[width : width + 32]),
            waiting.r_en.eq(self.write_ready),
        ]
        done = Signal()
        m.d.comb += done.eq(waiting.r_rdy & self.write_ready & waiting.r_data[width + 32])
        for kind in Source:
            port, use = self.buffers[kind], self.slots[kind]
            m.d.comb += [
                port.enable.eq(step & (source == kind)),
                port.slot.eq(slots[kind]),
                port.column.eq(column),
                port.plane.eq(plane),
                use.take.eq(start & (take("source") == kind)),
                use.release.eq(done & (waiting.r_data[width + 33] == kind)),
            ]
        next_address = Signal(32)
        m.d.sync += [arrived.eq(step), arrived_last.eq(last_read), arrived_source.eq(source)]
        with m.If(start):
            m.d.sync += [
                source.eq(take("source")),
                planes.eq(take("planes")),
                left.eq(take("columns")),
                next_address.eq(take("address")),
                column.eq(0),
                plane.eq(0),
                reading.eq(1),
            ]
        with m.If(step):
            m.d.sync += [plane.eq(plane + 1), address.eq(next_address), next_address.eq(next_address + 1)]
            with m.If(plane == planes - 1):
                m.d.sync += [plane.eq(0), column.eq(column + 1), left.eq(left - 1)]
            with m.If(last_read):
                m.d.sync += [reading.eq(0), slots[source].eq(~slots[source])]
        with m.If(done):
            m.d.sync += self.stores_done.eq(self.stores_done + 1)
        return m
