import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, Signal, signed

from p2vit.hdl.datapath.requantize import ShiftStage
from p2vit.numerics.requantize import requantize
from support.rtl_evaluate import corners, evaluate


@pytest.mark.parametrize("narrow", [0, 1])
@pytest.mark.parametrize("width", [32, 34])
def test_both_stages_are_the_norms_with_left_shifts_too(width, narrow):
    m, x, s, y = Module(), Signal(signed(width)), Signal(signed(6)), Signal(signed(32))
    m.d.comb += y.eq(ShiftStage(16, -7, 31).both(m, x, s, Signal(init=narrow)))
    values = corners(width, 1200, narrow)
    shifts = [i % 39 - 7 for i in range(len(values))]
    expected = requantize(np.array(values, np.int64), np.array(shifts), 8 if narrow else 16)
    assert evaluate(m, [(x, values), (s, shifts)], y) == expected.tolist()


def test_shifts_beyond_the_output_saturate_what_is_not_zero():
    m, x, s, y = Module(), Signal(signed(32)), Signal(signed(7)), Signal(signed(8))
    stage = ShiftStage(8, -40, 20)
    m.d.comb += y.eq(stage.both(m, x, s))
    assert stage.left == 8
    values, shifts = [1, -1, 0, 3, -3], [-40, -9, -40, -5, -8]
    assert evaluate(m, [(x, values), (s, shifts)], y) == [127, -128, 0, 96, -128]


def test_the_shape_of_an_amount():
    assert ShiftStage(8, 0, 31).shape.width == 5
    assert ShiftStage(8, -8, 30).shape == signed(6)
