"""Conventions that every hardware module here keeps to, and the pipeline that most of them are.

**Streams.** Data moves on ready/valid streams (``amaranth.lib.stream``): a beat moves in a cycle in which both
are high. A producer keeps ``valid`` and the payload until the beat is taken and does not look at ``ready``
first; ``ready`` may depend on the consumer's ``ready`` in the same cycle. Ports are called ``i`` and ``o``, or
after what they carry; in Verilog a stream ``i`` is ``i__payload``, ``i__valid``, ``i__ready``.

**Payloads** are structs. Numbers that travel side by side are an array field, lane 0 in the lowest bits;
parameters per channel (shifts, biases) travel beside the data as fields of the same beat. ``last`` marks the
last beat of a row. ``narrow`` asks for 8-bit saturation of a module built for 16. Lanes that a last beat does
not fill are the sender's business: modules that reduce over a row say what they must hold.

**Clock and reset**: one clock ``clk``; ``rst`` is synchronous and active high.
"""

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out


def lanes(shape: Any, count: int) -> data.ArrayLayout:
    """``count`` numbers side by side."""
    return data.ArrayLayout(shape, count)


def payload(**fields: Any) -> data.StructLayout:
    """Struct of the fields, the first in the lowest bits."""
    return data.StructLayout(fields)


def sink(**fields: Any) -> Any:
    """Port that takes a stream of structs."""
    return In(stream.Signature(payload(**fields)))


def source(**fields: Any) -> Any:
    """Port that gives a stream of structs."""
    return Out(stream.Signature(payload(**fields)))


def registered(name: str, value: Any) -> Any:
    """Signals without reset, shaped like a value, a list of values or nothing else."""
    if isinstance(value, list):
        return [registered(f"{name}_{index}", item) for index, item in enumerate(value)]
    cast = Value.cast(value)
    return Signal(Shape(len(cast), cast.shape().signed), name=name, reset_less=True)


def assign(target: Any, value: Any) -> list[Any]:
    """Statements that copy a value, or a list of values, into signals of the same form."""
    if isinstance(value, list):
        return [statement for t, v in zip(target, value, strict=True) for statement in assign(t, v)]
    return [target.eq(value)]


class Pipe:
    """Stages of registers between two streams that advance together.

    All stages move whenever the last one is empty or its beat is taken; ``ready`` of the input is that one
    signal. Latency is the number of stages, one beat per cycle goes in and out. Registers of data have no reset.

    State (an accumulator, a row's maximum) belongs to one stage: it is updated where ``fires`` and read by the beats
    that pass that stage later. Beats never overtake each other, so it cannot be overwritten too early.

    Attributes:
        advance: All stages move.
        valid: A beat is in front of the stage that is added next.
    """

    def __init__(self, m: Module, i: Any, o: Any, gate: Any = 1) -> None:
        """Start a pipeline.

        Args:
            m: The module it is in.
            i: Input stream.
            o: Output stream.
            gate: Beats are taken; where it is 0 the input waits and what is inside goes on.
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
        """A beat moves into the stage that is added next."""
        return self.advance & self.valid

    def stage(self, keep: Any = 1, **values: Any) -> SimpleNamespace:
        """Add a stage.

        Args:
            keep: The beat goes on; where it is 0 the beat ends here.
            values: What the stage holds: values, or lists of them for lanes.

        Returns:
            The registers, by the same names.
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
        """Take a beat of another stream with each beat in front of the next stage; without one everything waits.

        One stream can be joined per pipeline.

        Args:
            side: The stream.
            wanted: This beat needs one.

        Returns:
            The side stream's payload.
        """
        needed = self.valid & wanted
        self.m.d.comb += [self.starved.eq(needed & ~side.valid), side.ready.eq(self.free & needed)]
        return side.payload

    def finish(self, **fields: Any) -> None:
        """Connect the last stage to the output's payload."""
        self.m.d.comb += [self.offered.eq(self.valid), self.o.valid.eq(self.valid)]
        # While a joined stream is waited for nothing moves, but the last stage's beat may be taken.
        with self.m.If(self.starved & self.o.ready):
            self.m.d.sync += self.valid.eq(0)
        for name, value in fields.items():
            field = getattr(self.o.payload, name)
            if isinstance(value, list):
                self.m.d.comb += [field[index].eq(item) for index, item in enumerate(value)]
            else:
                self.m.d.comb += field.eq(value)


__all__ = ["Pipe", "assign", "lanes", "payload", "registered", "signed", "sink", "source", "unsigned"]
