from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics import Rotary
from p2vit.numerics.rotary import FRACTION
from support.exact import half_up

ONE = 1 << FRACTION


@given(
    st.lists(
        st.tuples(st.integers(-ONE, ONE), st.integers(-ONE, ONE), st.integers(0, 30), st.integers(0, 30)),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([8, 16]),
    st.sampled_from([(-32768, 32767), (-128, 127), (-3, 7)]),
)
def test_rotary_against_fractions(parameters, bits, limits):
    cosine, sine, even, odd = (np.array(column) for column in zip(*parameters, strict=True))
    shift = np.stack([even, odd], axis=1).ravel()
    operator = Rotary(cosine[None], sine[None], shift, bits)
    bounds = operator.bounds(limits)
    low, high = bounds.intermediates["accumulator"]
    for a in limits:
        for b in limits:
            x = np.tile(np.array([a, b], np.int16), len(cosine))[None, None]
            got = operator.compute(x)[0, 0]
            assert got.dtype == np.dtype(f"int{bits}")
            for p, (c, s) in enumerate(zip(cosine.tolist(), sine.tolist(), strict=True)):
                for odd_one, exact in enumerate((a * c - b * s, a * s + b * c)):
                    by = int(shift[2 * p + odd_one])
                    assert got[2 * p + odd_one] == half_up(Fraction(exact, 1 << by), bits)
                    assert low <= exact <= exact + ((1 << by) >> 1) <= high
                    assert bounds.output[0] <= got[2 * p + odd_one] <= bounds.output[1]


def test_the_worst_case_fits_int32():
    full = np.full((1, 1), ONE, np.int16)
    bounds = Rotary(full, full, np.array([30]), 16).bounds((-32768, 32767))
    low, high = bounds.intermediates["accumulator"]
    assert (low, high) == (-(1 << 30), (1 << 30) + (1 << 29))


def test_the_error_is_what_the_docstring_states():
    """Against the rotation in float64, on exact angles: the rounding of output and tables."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(-np.pi, np.pi, (50, 8))
    tables = [np.floor(f(angle) * ONE + 0.5).astype(np.int16) for f in (np.cos, np.sin)]
    x = rng.integers(-32768, 32768, (1, 50, 32)).astype(np.int16)
    a, b = (x[..., start::2].astype(float) for start in (0, 1))
    turned = np.exp(1j * np.tile(angle, 2)) * (a + 1j * b)
    exact = np.stack([turned.real, turned.imag], -1).reshape(x.shape)
    for bits, shift in ((16, FRACTION + 1), (8, FRACTION + 9)):
        out = Rotary(*tables, np.array([shift]), bits).compute(x)
        step = 2.0 ** (shift - FRACTION)
        worst = 0.5 * step + (np.abs(a) + np.abs(b)).repeat(2, -1) * 2.0**-15
        assert (np.abs(out * step - exact) <= worst).all()


def test_prefix_tokens_do_not_turn():
    operator = Rotary(np.full((1, 2), ONE), np.zeros((1, 2), int), np.array([FRACTION]), 16)
    x = np.arange(-4, 4, dtype=np.int16).reshape(1, 1, 8)
    assert np.array_equal(operator.compute(x), x)


def test_refusals():
    one = np.ones((2, 3), int)
    with pytest.raises(ValueError, match=r"cosine has shape \(3,\); expected \[tokens, pairs\]"):
        Rotary(one[0], one[0], np.array([14]))
    with pytest.raises(ValueError, match=r"sine has shape \(1, 3\); expected \(2, 3\)"):
        Rotary(one, one[:1], np.array([14]))
    with pytest.raises(ValueError, match="cosine reaches ±16385; allowed is up to 16384"):
        Rotary(one * (ONE + 1), one, np.array([14]))
    with pytest.raises(ValueError, match=r"shift leaves 0..30"):
        Rotary(one, one, np.array([31]))
    with pytest.raises(ValueError, match="output_bits is 4; allowed are 8 and 16"):
        Rotary(one, one, np.array([14]), 4)
    with pytest.raises(ValueError, match=r"the tables want \[2, a multiple of 6\]"):
        Rotary(one, one, np.array([14])).output_shape((2, 8))
    with pytest.raises(ValueError, match="shift is given for 6 channels; the input has 12"):
        Rotary(one, one, np.full(6, 14)).output_shape((2, 12))
