"""Conventions of all hardware modules, and the pipeline that most of them use.

**Streams.** Data moves on ready/valid streams (``amaranth.lib.stream``). A beat is transferred in a cycle in which
both are high. A producer keeps ``valid`` and the payload until the transfer and never waits for ``ready`` before it
raises ``valid``. ``ready`` may depend on the consumer's ``ready`` in the same cycle. Ports are called ``i`` and ``o``,
or after their contents. In Verilog, a stream ``i`` is ``i_payload``, ``i_valid`` and ``i_ready``.

**Payloads** are structs. Numbers of several lanes are an array field, with lane 0 in the lowest bits. Parameters per
channel (shifts, biases) are fields of the same beat. ``last`` marks the last beat of a row. ``narrow`` selects 8-bit
saturation in a module that is built for 16 bits. If the last beat of a row has unused lanes, the sender sets them;
modules that reduce over a row document the required values.

**Clock and reset**: one clock ``clk``; ``rst`` is synchronous and active high.
"""

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out


def lanes(shape: Any, count: int) -> data.ArrayLayout:
    """Return the layout of ``count`` lanes."""
    return data.ArrayLayout(shape, count)


def payload(**fields: Any) -> data.StructLayout:
    """Return a struct of the fields; the first field is in the lowest bits."""
    return data.StructLayout(fields)


def sink(**fields: Any) -> Any:
    """Make an input stream with a struct as payload."""
    return In(stream.Signature(payload(**fields)))


def source(**fields: Any) -> Any:
    """Make an output stream with a struct as payload."""
    return Out(stream.Signature(payload(**fields)))


def registered(name: str, value: Any) -> Any:
    """Make signals without reset that have the shape of a value or of a list of values."""
    if isinstance(value, list):
        return [registered(f"{name}_{index}", item) for index, item in enumerate(value)]
    cast = Value.cast(value)
    return Signal(Shape(len(cast), cast.shape().signed), name=name, reset_less=True)


def assign(target: Any, value: Any) -> list[Any]:
    """Return the statements that assign a value, or a list of values, to signals of the same shape."""
    if isinstance(value, list):
        return [statement for t, v in zip(target, value, strict=True) for statement in assign(t, v)]
    return [target.eq(value)]


class Pipe:
    """Pipeline between two streams. All its stages advance together.

    The stages advance in every cycle in which the last stage is empty or its beat is taken; this signal is also
    ``ready`` of the input. Latency: the number of stages. Throughput: one beat per cycle. Handshake: ready/valid on
    both sides. Data registers have no reset.

    State (an accumulator, the maximum of a row) belongs to one stage. It is updated while ``fires`` is high and read
    by later beats in that stage. Beats keep their order, so the state cannot be overwritten too early.

    Attributes:
        advance: High in cycles in which all stages advance.
        valid: High if a beat is available to the next stage that is added.
    """

    def __init__(self, m: Module, i: Any, o: Any, gate: Any = 1) -> None:
        """Start a pipeline.

        Args:
            m: Module that the pipeline is added to.
            i: Input stream.
            o: Output stream.
            gate: While it is 0, the input waits, and the beats in the pipeline advance.
        """
        self.m = m
        self.o = o
        self.stages = 0
        self.advance = Signal(name="advance")
        self.valid: Any = i.valid & gate
        self.free = Signal(name="free")
        self.starved = Signal(name="starved")
        self.offered = Signal(name="offered")
        m.d.comb += [
            self.free.eq(~self.offered | o.ready),
            self.advance.eq(self.free & ~self.starved),
            i.ready.eq(self.advance & gate),
        ]

    @property
    def fires(self) -> Value:
        """High in cycles in which a beat enters the next stage that is added."""
        return self.advance & self.valid

    def stage(self, keep: Any = 1, **values: Any) -> SimpleNamespace:
        """Add a stage.

        Args:
            keep: If it is 0, the beat is dropped after this stage.
            values: Values that the stage registers, or lists of values for lanes.

        Returns:
            Registers by the same names.
        """
        self.stages += 1
        valid = Signal(name=f"valid_{self.stages}")
        held = {name: registered(f"s{self.stages}_{name}", value) for name, value in values.items()}
        with self.m.If(self.advance):
            self.m.d.sync += valid.eq(self.valid & keep)
            for name, value in values.items():
                self.m.d.sync += assign(held[name], value)
        self.valid = valid
        return SimpleNamespace(**held)

    def join(self, side: Any, wanted: Any = 1) -> Any:
        """Join another stream: each beat before the next stage takes one beat of it, and waits if there is none.

        A pipeline can join one stream.

        Args:
            side: Stream to join.
            wanted: High if the beat takes one of the joined stream.

        Returns:
            Payload of the joined stream.
        """
        needed = self.valid & wanted
        self.m.d.comb += [self.starved.eq(needed & ~side.valid), side.ready.eq(self.free & needed)]
        return side.payload

    def finish(self, **fields: Any) -> None:
        """Connect the last stage to the output stream."""
        self.m.d.comb += [self.offered.eq(self.valid), self.o.valid.eq(self.valid)]
        # While the pipeline waits for the joined stream, the beat in the last stage may still be taken.
        with self.m.If(self.starved & self.o.ready):
            self.m.d.sync += self.valid.eq(0)
        for name, value in fields.items():
            field = getattr(self.o.payload, name)
            if isinstance(value, list):
                self.m.d.comb += [field[index].eq(item) for index, item in enumerate(value)]
            else:
                self.m.d.comb += field.eq(value)


__all__ = ["Pipe", "assign", "lanes", "payload", "registered", "signed", "sink", "source", "unsigned"]
