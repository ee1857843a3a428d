"""Operators on tokens that are an addition: prefix and positions, pooling."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory

from p2vit.numerics.rounding import saturate, shift_round
from p2vit.numerics.tokens import LARGEST_SUM_SHIFT
from p2vit.rtl.arithmetic import clamp_signed
from p2vit.rtl.datapath.requantize import ShiftStage
from p2vit.rtl.modules.array import address_shape
from p2vit.rtl.modules.base import Fields, ModuleTiming, OperatorModule, Streams, corners
from p2vit.rtl.modules.requantizing import RequantizingModule, narrow_field
from p2vit.rtl.stream import Pipe, lanes, sink, source


class AssembleUnit(OperatorModule):
    """Tokens in order: the prefix as it is, then patch tokens plus their positions, saturated.

    :class:`p2vit.numerics.AssembleTokens`; its constants come on a stream.

    Streams:
        constants: ``c`` [lanes]; ``prefix``: this beat goes out as it is and takes no input.
        x: ``x`` int16 [lanes], one beat for each constant that is not a prefix.
        o: ``y`` [lanes].

    Latency 1, one beat per cycle.
    """

    about: ClassVar[str] = "prefix tokens and position constants"

    def __init__(self, lanes_: int = 1, *, output_bits: int = 16) -> None:
        """Choose the structure.

        Args:
            lanes_: Elements per cycle.
            output_bits: 8 or 16.
        """
        self.lanes, self.output_bits = lanes_, output_bits
        self.timing = ModuleTiming(1)
        super().__init__(
            {
                "constants": sink(c=lanes(signed(output_bits), lanes_), prefix=1),
                "x": sink(x=lanes(signed(16), lanes_)),
                "o": source(y=lanes(signed(output_bits), lanes_)),
            }
        )

    def configuration(self) -> dict[str, Any]:
        """Structural parameters."""
        return {"l": self.lanes, "o": self.output_bits}

    def elaborate(self, platform: Any) -> Module:
        """One stage."""
        m = Module()
        pipe = Pipe(m, self.constants, self.o)
        beat = self.constants.payload
        patch = pipe.join(self.x, ~beat.prefix)
        y = [
            Mux(beat.prefix, beat.c[k], clamp_signed(m, patch.x[k] + beat.c[k], self.output_bits))
            for k in range(self.lanes)
        ]
        a = pipe.stage(y=[value.as_signed() for value in y])
        pipe.finish(y=a.y)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """As :meth:`p2vit.numerics.AssembleTokens.compute`."""
        c = np.asarray(inputs["constants"]["c"], np.int64).reshape(-1, self.lanes)
        prefix = np.asarray(inputs["constants"]["prefix"]) != 0
        y = c.copy()
        y[~prefix] = saturate(
            np.asarray(inputs["x"]["x"]).reshape(-1, self.lanes) + c[~prefix], self.output_bits
        )
        return {"o": {"y": y}}

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Prefixes and patches mixed."""
        prefix = rng.integers(0, 2, beats)
        patches = int((prefix == 0).sum())
        return {
            "constants": {"c": corners(rng, self.output_bits, (beats, self.lanes)), "prefix": prefix},
            "x": {"x": corners(rng, 16, (patches, self.lanes))},
        }


class SumUnit(RequantizingModule):
    """``y = requantize(Σ_n x_n)`` over tokens: :class:`p2vit.numerics.SumTokens`.

    Streams:
        i: ``x`` int16 [lanes], ``shift`` 0 to 30 [lanes] and ``narrow`` (read with the last token), ``last`` of the
            token; ``first``, ``final``: the token is the first, the last of those summed.
        o: ``y`` [lanes], ``last``: one token, after the final one.

    Latency 3 (accumulate | shift | round and saturate) from a beat of the final token, one beat per cycle. Tokens of
    a single beat are summed too: what was written a cycle ago is read.
    """

    about: ClassVar[str] = "average pooling: sum over tokens"

    def __init__(self, lanes_: int = 1, *, depth: int = 4, output_bits: int = 8) -> None:
        """Choose the structure.

        Args:
            lanes_: Elements per cycle.
            depth: Beats of a token at most: ⌈C / lanes⌉.
            output_bits: 8 or 16; with 16 each beat chooses 16 or 8 (``narrow``).
        """
        self.depth = depth
        fields = {"x": lanes(signed(16), lanes_), "shift": lanes(unsigned(5), lanes_)}
        i = sink(**fields, **narrow_field(output_bits), last=1, first=1, final=1)
        timing = ModuleTiming(3, note="of the final token's beat")
        super().__init__(lanes_, ShiftStage(output_bits, 0, LARGEST_SUM_SHIFT), timing, {"i": i})

    def configuration(self) -> dict[str, Any]:
        """Structural parameters."""
        return {"l": self.lanes, "d": self.depth, "o": self.output_bits}

    def elaborate(self, platform: Any) -> Module:
        """Sums of a token's beats in a memory that is read and written in the same cycle."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        beat = self.i.payload
        place = Signal(address_shape(self.depth))
        store = m.submodules.sums = memory.Memory(shape=unsigned(32 * self.lanes), depth=self.depth, init=[])
        write, read = store.write_port(), store.read_port(domain="comb")
        held = [read.data.word_select(k, 32).as_signed() for k in range(self.lanes)]
        sums = [(Mux(beat.first, 0, held[k]) + beat.x[k])[:32].as_signed() for k in range(self.lanes)]
        m.d.comb += [
            read.addr.eq(place),
            write.addr.eq(place),
            write.data.eq(Cat(*sums)),
            write.en.eq(pipe.fires),
        ]
        with m.If(pipe.fires):
            m.d.sync += place.eq(Mux(beat.last, 0, place + 1))
        a = pipe.stage(
            keep=beat.final, sums=sums, shift=[beat.shift[k] for k in range(self.lanes)], **self.flags(beat)
        )
        self.requantized(pipe, a.sums, a.shift, a)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """As :meth:`p2vit.numerics.SumTokens.compute`, pooling by pooling."""
        i = {name: np.asarray(value, np.int64) for name, value in inputs["i"].items()}
        x = i["x"].reshape(len(i["last"]), self.lanes)
        sums: dict[int, Any] = {}
        values, kept, place = [], [], 0
        for index in range(len(x)):
            sums[place] = x[index] + (0 if i["first"][index] else sums[place])
            if i["final"][index]:
                values.append(sums[place])
                kept.append(index)
            place = 0 if i["last"][index] else place + 1
        chosen = {name: value[kept] for name, value in i.items()}
        rounded = shift_round(
            np.array(values).reshape(-1, self.lanes), chosen["shift"].reshape(-1, self.lanes)
        )
        return self.golden(chosen, rounded)

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Poolings of 1 to 12 tokens, of 1 to ``depth`` beats."""
        parts: list[dict[str, Any]] = []
        while sum(len(part["last"]) for part in parts) < beats:
            tokens, size = int(rng.integers(1, 13)), int(rng.integers(1, self.depth, endpoint=True))
            count = tokens * size
            token = np.repeat(np.arange(tokens), size)
            part = {
                "x": corners(rng, 16, (count, self.lanes)),
                "shift": rng.integers(0, 31, (count, self.lanes)),
                **self.marks(rng, count),
                "last": (np.arange(count) % size == size - 1).astype(np.int64),
                "first": (token == 0).astype(np.int64),
                "final": (token == tokens - 1).astype(np.int64),
            }
            parts.append(part)
        return {"i": {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}}
