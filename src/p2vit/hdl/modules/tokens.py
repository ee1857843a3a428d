"""Hardware modules of token assembly and of the sum over tokens (average pooling)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory

from p2vit.hdl.arithmetic import clamp_signed
from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.hdl.modules.array import address_shape
from p2vit.hdl.modules.base import Fields, ModuleTiming, OperatorModule, Streams, corners
from p2vit.hdl.modules.requantizing import RequantizingModule, narrow_field
from p2vit.hdl.stream import Pipe, lanes, sink, source
from p2vit.numerics.rounding import saturate, shift_round
from p2vit.numerics.tokens import LARGEST_SUM_SHIFT


class AssembleUnit(OperatorModule):
    """Prefix tokens unchanged, then patch tokens plus their position constants, saturated.

    The operator is :class:`p2vit.numerics.AssembleTokens`. Its constants come on a stream.

    Streams:
        constants: ``c`` [lanes]; with ``prefix``, the beat is output unchanged and takes no beat of ``x``.
        x: ``x`` int16 [lanes], one beat per beat of constants without ``prefix``.
        o: ``y`` [lanes].

    Latency: 1 cycle. Throughput: one beat per cycle. Handshake: ready/valid streams.
    """

    about: ClassVar[str] = "prefix tokens and position constants"

    def __init__(self, lanes_: int = 1, *, output_bits: int = 16) -> None:
        """Make the module.

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
        """Build the pipeline of one stage."""
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
        """Compute :meth:`p2vit.numerics.AssembleTokens.compute`."""
        c = np.asarray(inputs["constants"]["c"], np.int64).reshape(-1, self.lanes)
        prefix = np.asarray(inputs["constants"]["prefix"]) != 0
        y = c.copy()
        y[~prefix] = saturate(
            np.asarray(inputs["x"]["x"]).reshape(-1, self.lanes) + c[~prefix], self.output_bits
        )
        return {"o": {"y": y}}

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Make a mix of prefix tokens and patch tokens."""
        prefix = rng.integers(0, 2, beats)
        patches = int((prefix == 0).sum())
        return {
            "constants": {"c": corners(rng, self.output_bits, (beats, self.lanes)), "prefix": prefix},
            "x": {"x": corners(rng, 16, (patches, self.lanes))},
        }


class SumUnit(RequantizingModule):
    """``y = requantize(Σ_n x_n)`` over tokens: :class:`p2vit.numerics.SumTokens`.

    Streams:
        i: ``x`` int16 [lanes], ``shift`` 0 to 30 [lanes] and ``narrow`` (used with the final token), ``last`` of the
            token; ``first`` and ``final`` mark the first and the last token of a sum.
        o: ``y`` [lanes], ``last``: one token, after the final token.

    Latency: 3 cycles from a beat of the final token (accumulate | shift | round and saturate). Throughput: one beat
    per cycle, also for tokens of a single beat, because a sum can be read in the cycle after it was written.
    Handshake: ready/valid streams.
    """

    about: ClassVar[str] = "average pooling: sum over tokens"

    def __init__(self, lanes_: int = 1, *, depth: int = 4, output_bits: int = 8) -> None:
        """Make the module.

        Args:
            lanes_: Elements per cycle.
            depth: Most beats per token: ⌈C / lanes⌉.
            output_bits: 8 or 16; with 16, each beat selects 16 or 8 bits (``narrow``).
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
        """Build a memory of sums that is read and written in the same cycle, and the re-quantization."""
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
        """Compute :meth:`p2vit.numerics.SumTokens.compute` for each sum."""
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
        """Make sums of 1 to 12 tokens of 1 to ``depth`` beats each."""
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
