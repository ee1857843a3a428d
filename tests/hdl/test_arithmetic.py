import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, signed, unsigned
from amaranth.lib import wiring

from p2vit.hdl.arithmetic import (
    add_tree,
    bit_length,
    clamp_either,
    clamp_signed,
    largest,
    offset_binary,
    round_last_bit,
    shift_round,
    shift_with_half,
    smallest,
)
from p2vit.hdl.simulate import ModuleSimulation
from p2vit.hdl.stream import Pipe, lanes, sink, source
from p2vit.numerics.rounding import bit_length as golden_bit_length
from p2vit.numerics.rounding import saturate
from p2vit.numerics.rounding import shift_round as golden_shift_round


class All(wiring.Component):
    def __init__(self):
        super().__init__(
            {
                "i": sink(x=lanes(signed(11), 5), s=unsigned(4), narrow=1),
                "o": source(
                    clamped=signed(6),
                    either=signed(9),
                    rounded=signed(12),
                    length=unsigned(4),
                    sum=signed(14),
                    largest=signed(11),
                    smallest=signed(11),
                    raised=signed(15),
                    offset=unsigned(8),
                ),
            }
        )

    def elaborate(self, platform):
        m = Module()
        pipe = Pipe(m, self.i, self.o)
        beat = self.i.payload
        x = [beat.x[k] for k in range(5)]
        a = pipe.stage(
            clamped=clamp_signed(m, x[0], 6),
            either=clamp_either(m, x[0], 9, beat.narrow),
            rounded=shift_round(x[0], beat.s),
            length=bit_length(m, x[0].as_unsigned()),
            sum=add_tree(x),
            largest=largest(m, x),
            smallest=smallest(m, x),
            raised=round_last_bit(shift_with_half(x[0], beat.s, raised=4)).as_signed(),
            offset=offset_binary(x[0]),
        )
        pipe.finish(**vars(a))
        return m


def test_every_value_of_eleven_bits():
    rng = np.random.default_rng(0)
    first = np.repeat(np.arange(-1024, 1024), 16)
    x = rng.integers(-1024, 1024, (len(first), 5))
    x[:, 0] = first
    s, narrow = np.tile(np.arange(16), 2048), rng.integers(0, 2, len(first))
    found = (
        ModuleSimulation(All(), "all_arithmetic")
        .run({"i": {"x": x, "s": s, "narrow": narrow}}, {"o": len(x)})
        .outputs["o"]
    )
    wide = saturate(first, 9)
    assert (found["clamped"] == saturate(first, 6)).all()
    assert (found["either"] == np.where(narrow, saturate(wide, 8), wide)).all()
    assert (found["rounded"] == golden_shift_round(first, s)).all()
    assert (found["length"] == golden_bit_length(first & 2047)).all()
    assert (found["sum"] == x.sum(axis=1)).all()
    assert (found["largest"] == x.max(axis=1)).all()
    assert (found["smallest"] == x.min(axis=1)).all()
    assert (found["raised"] == golden_shift_round(first, s - 4)).all()
    assert (found["offset"] == ((first & 255) ^ 128)).all()
