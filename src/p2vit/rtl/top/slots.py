"""Who may use which slot of a double buffer: counters of free and full slots, and what an engine does run by run.

Every buffer has two slots. An engine reads (or fills) them in turn; a descriptor says whether its run takes a slot, and
whether it is the last to use it.
"""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


def reader_signature() -> wiring.Signature:
    """A buffer, seen from its reader: a slot is ``full``; ``take`` it when a run starts, ``release`` it at the end."""
    return wiring.Signature({"full": In(1), "take": Out(1), "release": Out(1)})


def writer_signature() -> wiring.Signature:
    """An output buffer, seen from the engine that fills it: a slot is ``free``; ``take`` it, and ``finish`` it."""
    return wiring.Signature({"free": In(1), "take": Out(1), "finish": Out(1)})


def counter(m: Module, initial: int, give: Value, take: Value, name: str) -> Signal:
    """A counter of free or full slots: ``give`` adds one, ``take`` removes one, in the same cycle too."""
    count = Signal(2, init=initial, name=name)
    m.d.sync += count.eq(count + give - take)
    return count


class SlotReader:
    """A buffer that an engine reads.

    Attributes:
        ready: The run that is offered need not wait for this buffer.
        slot: What the run reads.
    """

    def __init__(
        self, m: Module, port: wiring.PureInterface, name: str,
        *, start: Value, final: Value, take: Value, release: Value,
    ) -> None:  # fmt: skip
        """Connect a buffer.

        Args:
            m: The engine.
            port: Its side of the buffer, see :func:`reader_signature`.
            name: Of the buffer.
            start: A run starts in this cycle.
            final: It ends in this cycle.
            take: The run that starts takes a slot.
            release: The run that starts releases it when it ends.
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
    """The output buffer that an engine fills, word by word.

    Attributes:
        ready: The run that is offered need not wait for room.
        slot: What the run fills.
        column: The next word's place.
        emits: The run gives output.
    """

    def __init__(
        self, m: Module, port: wiring.PureInterface, *, start: Value, final: Value, emit: Value, written: Value
    ) -> None:  # fmt: skip
        """Connect the buffer.

        Args:
            m: The engine.
            port: Its side of the buffer, see :func:`writer_signature`.
            start: A run starts in this cycle.
            final: It ends in this cycle.
            emit: The run that starts gives output.
            written: A word is written in this cycle.
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
