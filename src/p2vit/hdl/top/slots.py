"""Handshake of double buffers: counters of free and full slots, and the engines' use of slots.

Every buffer has two slots. An engine reads or fills them alternately. A descriptor says whether its run takes a slot
and whether it releases the slot.
"""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


def reader_signature() -> wiring.Signature:
    """Return the signature of a buffer, seen from its reader.

    ``full``: a slot is full. ``take``: a run starts to use it. ``release``: the run has ended and the slot is free.
    """
    return wiring.Signature({"full": In(1), "take": Out(1), "release": Out(1)})


def writer_signature() -> wiring.Signature:
    """Return the signature of an output buffer, seen from the engine that fills it.

    ``free``: a slot is free. ``take``: a run starts to fill it. ``finish``: the slot is full.
    """
    return wiring.Signature({"free": In(1), "take": Out(1), "finish": Out(1)})


def counter(m: Module, initial: int, give: Value, take: Value, name: str) -> Signal:
    """Add a counter of free or full slots: ``give`` adds 1 and ``take`` subtracts 1, also in the same cycle."""
    count = Signal(2, init=initial, name=name)
    m.d.sync += count.eq(count + give - take)
    return count


class SlotReader:
    """Reader side of a double buffer.

    Attributes:
        ready: High if the next run need not wait for this buffer.
        slot: Slot that the run reads.
    """

    def __init__(
        self, m: Module, port: wiring.PureInterface, name: str,
        *, start: Value, final: Value, take: Value, release: Value,
    ) -> None:  # fmt: skip
        """Connect the reader.

        Args:
            m: Module of the engine.
            port: Port of the buffer, see :func:`reader_signature`.
            name: Name of the buffer.
            start: High in the cycle in which a run starts.
            final: High in the cycle in which the run ends.
            take: High if the run that starts takes a slot.
            release: High if the run that starts releases the slot at its end.
        """
        self.slot = Signal(name=f"{name}_slot")
        self.ready = ~take | port.full
        releases = Signal(name=f"run_release_{name}")
        m.d.comb += [port.take.eq(start & take), port.release.eq(final & releases)]
        with m.If(start):
            m.d.sync += releases.eq(release)
        with m.If(port.release):
            m.d.sync += self.slot.eq(~self.slot)


class SlotWriter:
    """Writer side of an output buffer, which an engine fills word by word.

    Attributes:
        ready: High if the next run need not wait for a free slot.
        slot: Slot that the run fills.
        column: Column of the next word.
        emits: High if the run has output.
    """

    def __init__(
        self, m: Module, port: wiring.PureInterface, *, start: Value, final: Value, emit: Value, written: Value
    ) -> None:  # fmt: skip
        """Connect the writer.

        Args:
            m: Module of the engine.
            port: Port of the buffer, see :func:`writer_signature`.
            start: High in the cycle in which a run starts.
            final: High in the cycle in which the run ends.
            emit: High if the run that starts has output.
            written: High in cycles in which a word is written.
        """
        self.slot = Signal(name="output_slot")
        self.column = Signal(16, name="output_column")
        self.emits = Signal(name="run_emit")
        self.ready = ~emit | port.free
        m.d.comb += [port.take.eq(start & emit), port.finish.eq(final & self.emits)]
        with m.If(start):
            m.d.sync += [self.emits.eq(emit), self.column.eq(0)]
        with m.Elif(written):
            m.d.sync += self.column.eq(self.column + 1)
        with m.If(port.finish):
            m.d.sync += self.slot.eq(~self.slot)
