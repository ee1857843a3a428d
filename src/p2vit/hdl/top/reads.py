"""Count of the reads in flight: bounds them, and drops the answers to reads from before a reset."""

from amaranth.hdl import Module, ResetSignal, Signal, Value
from amaranth.lib import wiring

from p2vit.hdl.top.machine import MAX_READS


class ReadsInFlight:
    """Counts requests that have no answer yet. The count survives a reset, because the memory still answers them.

    After a reset, as many answers are dropped as reads were in flight. New requests need not wait for that, because
    answers keep their order. Only a cold reset clears the count.

    Attributes:
        allowed: High if a read may be requested: fewer than ``MAX_READS`` are in flight, and there is no reset.
        answered: High if an answer arrives that belongs to a read from after the last reset.
    """

    def __init__(self, m: Module, memory: wiring.PureInterface, cold: Value) -> None:
        """Add the counters.

        Args:
            m: Top module.
            memory: External memory, see :func:`p2vit.hdl.top.bus.memory_signature`.
            cold: High in a reset if no read is in flight.
        """
        in_flight = Signal(range(MAX_READS + 1), reset_less=True, name="reads_in_flight")
        stale = Signal(range(MAX_READS + 1), reset_less=True, name="stale_reads")
        following = Signal(range(MAX_READS + 1), name="following_reads_in_flight")
        self.allowed = Signal(name="read_allowed")
        self.answered = Signal(name="fresh_answer")
        reset = ResetSignal()
        m.d.comb += [
            following.eq(in_flight + (memory.read_valid & memory.read_ready) - memory.answer_valid),
            self.allowed.eq((in_flight != MAX_READS) & ~reset),
            self.answered.eq(memory.answer_valid & (stale == 0)),
        ]
        m.d.sync += in_flight.eq(following)
        with m.If(reset):
            m.d.sync += stale.eq(following)
        with m.Elif(memory.answer_valid & (stale != 0)):
            m.d.sync += stale.eq(stale - 1)
        with m.If(cold):
            m.d.sync += [in_flight.eq(0), stale.eq(0)]
