"""Operators on one number at a time, and those of tokens that are an addition: add, affine, position, pooling."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory

from p2vit.numerics import Add, Affine
from p2vit.numerics.rounding import saturate, shift_round
from p2vit.rtl.arithmetic import clamp_signed
from p2vit.rtl.modules.array import address_shape
from p2vit.rtl.modules.base import Fields, OperatorModule, Streams, Timing, corners
from p2vit.rtl.modules.requantizer import ShiftStage
from p2vit.rtl.stream import Pipe, lanes, sink, source


class _Requantizing(OperatorModule):
    """Base of modules that end in a shift, a rounding and a saturation."""

    lanes: int
    output_bits: int
    step: ShiftStage

    def narrow_field(self) -> dict[str, Any]:
        """The payload field that chooses 8 bits, in modules of 16."""
        return {"narrow": 1} if self.output_bits > 8 else {}

    def output(self) -> Any:
        """The output stream."""
        return source(y=lanes(signed(self.output_bits), self.lanes), last=1)

    def configuration(self) -> dict[str, Any]:
        """Structural parameters."""
        return {"l": self.lanes, "o": self.output_bits}

    def flags(self, stage: Any) -> dict[str, Any]:
        """``last``, and ``narrow`` where there is one."""
        return {"last": stage.last, **({"narrow": stage.narrow} if self.output_bits > 8 else {})}

    def requantized(self, pipe: Pipe, values: list[Any], amounts: list[Any], before: Any) -> None:
        """The last two stages."""
        m = pipe.m
        a = pipe.stage(
            twice=[self.step.first(m, value, amount) for value, amount in zip(values, amounts, strict=True)],
            **self.flags(before),
        )
        flag = a.narrow if self.output_bits > 8 else None
        b = pipe.stage(y=[self.step.second(m, value, flag) for value in a.twice], last=a.last)
        pipe.finish(y=b.y, last=b.last)

    def golden(self, i: Fields, values: Any) -> Streams:
        """Output beats from rounded values."""
        y = saturate(values, self.output_bits)
        if self.output_bits > 8:
            y = np.where(np.asarray(i["narrow"])[:, None] != 0, saturate(y, 8), y)
        return {"o": {"y": y, "last": np.asarray(i["last"], np.int64)}}

    def marks(self, rng: np.random.Generator, beats: int) -> dict[str, Any]:
        """Random flags."""
        marks = {"last": rng.integers(0, 2, beats)}
        return marks | ({"narrow": rng.integers(0, 2, beats)} if self.output_bits > 8 else {})


class AddUnit(_Requantizing):
    """``y = saturate(round(((a << left_a) + (b << left_b)) · 2^-shift))``: :class:`p2vit.numerics.Add`.

    With all shifts 0 it is the saturating add of position constants.

    Streams:
        i: ``a``, ``b`` int16 [lanes], ``left_a``, ``left_b``, ``shift`` 0 to 15 [lanes], ``narrow`` (if 16 bits),
            ``last``.
        o: ``y`` [lanes], ``last``.

    Latency 3 (align and add | shift | round and saturate), one beat per cycle.
    """

    about: ClassVar[str] = "residual add, position add"

    def __init__(self, lanes_: int = 1, *, output_bits: int = 16) -> None:
        """Choose the structure.

        Args:
            lanes_: Elements per cycle.
            output_bits: 8 or 16; with 16 each beat chooses 16 or 8 (``narrow``).
        """
        self.lanes, self.output_bits = lanes_, output_bits
        self.step = ShiftStage(output_bits, 0, 15)
        self.timing = Timing(3)
        four = lanes(unsigned(4), lanes_)
        wide = lanes(signed(16), lanes_)
        super().__init__(
            {
                "i": sink(
                    a=wide, b=wide, left_a=four, left_b=four, shift=four, **self.narrow_field(), last=1
                ),
                "o": self.output(),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Three stages."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        beat = self.i.payload
        each = range(self.lanes)
        total = [(beat.a[k] << beat.left_a[k]) + (beat.b[k] << beat.left_b[k]) for k in each]
        a = pipe.stage(total=total, shift=[beat.shift[k] for k in each], **self.flags(beat))
        self.requantized(pipe, a.total, a.shift, a)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """As :meth:`p2vit.numerics.Add.compute`, shifts per element."""
        i = {name: np.asarray(value, np.int64) for name, value in inputs["i"].items()}
        total = shift_round(i["a"], -i["left_a"]) + shift_round(i["b"], -i["left_b"])
        return self.golden(i, shift_round(total, i["shift"]))

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Operands near every edge, all shifts."""
        size = (beats, self.lanes)
        calm = rng.integers(0, 3, (beats, 1)) == 0
        shifts = {
            name: np.where(calm, 0, rng.integers(0, 16, size)) for name in ("left_a", "left_b", "shift")
        }
        return {
            "i": {
                "a": corners(rng, 16, size),
                "b": corners(rng, 16, size),
                **shifts,
                **self.marks(rng, beats),
            }
        }

    def operator_beats(self, operator: Add, a: Any, b: Any) -> dict[str, Any]:
        """Beats of whole tokens through an operator; the channels must be a multiple of the lanes.

        Args:
            operator: Its shifts.
            a: [tokens, C].
            b: The same.
        """
        shape = a.shape
        parameters = {
            name: np.broadcast_to(getattr(operator, name), shape).reshape(-1, self.lanes)
            for name in ("left_a", "left_b", "shift")
        }
        beats = {"a": a.reshape(-1, self.lanes), "b": b.reshape(-1, self.lanes), **parameters}
        narrow = (
            {"narrow": np.full(len(beats["a"]), operator.output_bits == 8)} if self.output_bits > 8 else {}
        )
        return beats | narrow | {"last": np.zeros(len(beats["a"]))}


class AffineUnit(_Requantizing):
    """``y = requantize(x · gain + bias)``: :class:`p2vit.numerics.Affine`.

    Streams:
        i: ``x``, ``gain`` int16 [lanes], ``bias`` int32 [lanes], ``shift`` −8 to 30 [lanes], ``narrow`` (if 16 bits),
            ``last``.
        o: ``y`` [lanes], ``last``.

    Latency 4 (multiply | add | shift | round and saturate), one beat per cycle.
    """

    about: ClassVar[str] = "affine: gain and bias of a last LayerNorm"

    def __init__(self, lanes_: int = 1, *, output_bits: int = 8) -> None:
        """Choose the structure.

        Args:
            lanes_: Elements per cycle.
            output_bits: 8 or 16; with 16 each beat chooses 16 or 8 (``narrow``).
        """
        self.lanes, self.output_bits = lanes_, output_bits
        self.step = ShiftStage(output_bits, -8, 30)
        self.timing = Timing(4)
        wide = lanes(signed(16), lanes_)
        super().__init__(
            {
                "i": sink(
                    x=wide,
                    gain=wide,
                    bias=lanes(signed(32), lanes_),
                    shift=lanes(self.step.shape, lanes_),
                    **self.narrow_field(),
                    last=1,
                ),
                "o": self.output(),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Four stages."""
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        beat = self.i.payload
        each = range(self.lanes)
        a = pipe.stage(
            product=[beat.x[k] * beat.gain[k] for k in each],
            bias=[beat.bias[k] for k in each],
            shift=[beat.shift[k] for k in each],
            **self.flags(beat),
        )
        total = [product + bias for product, bias in zip(a.product, a.bias, strict=True)]
        b = pipe.stage(total=total, shift=a.shift, **self.flags(a))
        self.requantized(pipe, b.total, b.shift, b)
        return m

    def compute(self, inputs: Mapping[str, Fields]) -> Streams:
        """:class:`p2vit.numerics.Affine`, every element a channel of its own."""
        i = {name: np.asarray(value, np.int64) for name, value in inputs["i"].items()}
        norm = Affine(i["gain"].ravel(), i["bias"].ravel(), i["shift"].ravel(), self.output_bits)
        return self.golden(i, norm.compute(i["x"].reshape(1, -1)).reshape(i["x"].shape))

    def sample(self, rng: np.random.Generator, beats: int) -> Streams:
        """Operands near every edge, all shifts."""
        size = (beats, self.lanes)
        fields = {"x": corners(rng, 16, size), "gain": corners(rng, 16, size), "bias": corners(rng, 32, size)}
        return {"i": {**fields, "shift": rng.integers(-8, 31, size), **self.marks(rng, beats)}}


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
        self.timing = Timing(1)
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


class SumUnit(_Requantizing):
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
        self.lanes, self.depth, self.output_bits = lanes_, depth, output_bits
        self.step = ShiftStage(output_bits, 0, 30)
        self.timing = Timing(3, note="of the final token's beat")
        super().__init__(
            {
                "i": sink(
                    x=lanes(signed(16), lanes_),
                    shift=lanes(unsigned(5), lanes_),
                    **self.narrow_field(),
                    last=1,
                    first=1,
                    final=1,
                ),
                "o": self.output(),
            }
        )

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
