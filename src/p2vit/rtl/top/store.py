"""The store engine: writes finished output buffers to the external memory, in program order."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.rtl.top.bits import field
from p2vit.rtl.top.bus import output_signature, queue_signature
from p2vit.rtl.top.descriptor import Kind, Source
from p2vit.rtl.top.machine import RtlMachine


class StoreEngine(wiring.Component):
    """One word per cycle: the byte planes of a column, then the next column; addresses rise by one.

    A store waits until its source's output buffer is full. It is counted as done with its last word.

    Args:
        machine: Sizes.
    """

    def __init__(self, machine: RtlMachine) -> None:
        self.machine = machine
        super().__init__(
            {
                "queue": In(queue_signature()),
                "array": Out(output_signature(machine)),
                "vector": Out(output_signature(machine)),
                "full": In(2),
                "take": Out(2),
                "release": Out(2),
                "stores_done": Out(24),
                "write_valid": Out(1),
                "write_ready": In(1),
                "write_address": Out(32),
                "write_data": Out(8 * machine.lines),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Read ahead by one word; everything stands while a word is not taken."""
        m = Module()
        word = self.queue.word

        def take(name: str) -> Signal:
            return field(word, Kind.STORE, name)

        source, planes = Signal(), Signal(3)
        column, plane, left = Signal(16), Signal(2), Signal(16)
        address = Signal(32)
        slots = Array([Signal(name="array_slot"), Signal(name="vector_slot")])
        reading, move, start, last_read = Signal(), Signal(), Signal(), Signal()
        valid, last = Signal(), Signal()
        m.d.comb += [
            move.eq(~valid | self.write_ready),
            start.eq(
                self.queue.valid & ~reading & ~valid & Array(self.full[i] for i in range(2))[take("source")]
            ),
            self.queue.ready.eq(start),
            self.idle.eq(~reading & ~valid),
            last_read.eq((left == 1) & (plane == planes - 1)),
            self.write_valid.eq(valid),
            self.write_address.eq(address),
            self.write_data.eq(Mux(source, self.vector.data, self.array.data)),
        ]
        for kind, port in ((Source.ARRAY, self.array), (Source.VECTOR, self.vector)):
            m.d.comb += [
                port.enable.eq(reading & move & (source == kind)),
                port.slot.eq(slots[kind]),
                port.column.eq(column),
                port.plane.eq(plane),
                self.take[kind].eq(start & (take("source") == kind)),
                self.release[kind].eq(valid & self.write_ready & last & (source == kind)),
            ]
        with m.If(start):
            m.d.sync += [
                source.eq(take("source")),
                planes.eq(take("planes")),
                left.eq(take("columns")),
                address.eq(take("address")),
                column.eq(0),
                plane.eq(0),
                reading.eq(1),
            ]
        with m.If(move):
            m.d.sync += [valid.eq(reading), last.eq(last_read)]
            with m.If(valid):
                m.d.sync += address.eq(address + 1)
            with m.If(reading):
                m.d.sync += plane.eq(plane + 1)
                with m.If(plane == planes - 1):
                    m.d.sync += [plane.eq(0), column.eq(column + 1), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.d.sync += reading.eq(0)
        with m.If(valid & self.write_ready & last):
            m.d.sync += [slots[source].eq(~slots[source]), self.stores_done.eq(self.stores_done + 1)]
        return m
