"""Queue of words in a memory with one read and one write port."""

from amaranth.hdl import Module, Signal, Value

from p2vit.hdl.top.primitives import RamPorts, ram


def word_queue(m: Module, name: str, width: int, depth: int, write: Value, word: Value, read: Value) -> tuple:
    """Add a queue. Latency: two cycles from the write to the word at the output. Throughput: one word per cycle.

    Args:
        m: Module that the queue is added to.
        name: Name of its memory.
        width: Width of a word in bits.
        depth: Number of words. The writer must not write more words than are free.
        write: High in cycles in which a word is written.
        word: Word that is written.
        read: High in cycles in which the word at the output is taken; only while there is one.

    Returns:
        High if there is a word at the output; the word; number of words that were written and not taken.
    """
    first, last = Signal(range(depth), name=f"{name}_first"), Signal(range(depth), name=f"{name}_last")
    following, level = (
        Signal(range(depth), name=f"{name}_following"),
        Signal(range(depth + 1), name=f"{name}_level"),
    )
    there, seen = Signal(name=f"{name}_there"), Signal(range(depth + 1), name=f"{name}_seen")

    def advance(at: Signal) -> Value:
        return at + 1 if depth & (depth - 1) == 0 else (at == depth - 1).mux(0, at + 1)

    with m.If(write):
        m.d.sync += last.eq(advance(last))
    with m.If(read):
        m.d.comb += following.eq(advance(first))
    with m.Else():
        m.d.comb += following.eq(first)
    # `seen` counts the words that were written in earlier cycles and are not taken.
    m.d.comb += seen.eq(level - read)
    m.d.sync += [first.eq(following), level.eq(level + write - read), there.eq(seen != 0)]
    data = ram(m, name, width, depth, RamPorts(write, last, word, 1, following))
    return there, data, level
