import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics import Scores


@given(st.integers(1, 3), st.integers(1, 70), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_scores_are_exact(heads, dim, tokens, seed):
    rng = np.random.default_rng(seed)
    q, k = (rng.integers(-128, 128, (2, tokens, heads * dim)).astype(np.int8) for _ in range(2))
    got = Scores(heads, dim).compute(q, k)
    assert got.dtype == np.int32
    for head in range(heads):
        part = slice(head * dim, (head + 1) * dim)
        expected = np.einsum("bnd,bmd->bnm", q[..., part].astype(int), k[..., part].astype(int))
        assert np.array_equal(got[:, head], expected)


@pytest.mark.parametrize(("a", "b"), [(-128, -128), (-128, 127), (127, 127)])
def test_scores_bounds_are_reached(a, b):
    operator = Scores(1, 64)
    out = operator.compute(np.full((1, 1, 64), a, np.int8), np.full((1, 1, 64), b, np.int8))
    low, high = operator.bounds((-128, 127), (-128, 127)).output
    assert (low, high) == (-64 * 128 * 127, 64 * 128 * 128)
    assert low <= out.item() <= high


def test_refusals():
    with pytest.raises(ValueError, match="heads is 0; allowed are 1 and more"):
        Scores(0, 4)
    with pytest.raises(ValueError, match="head_dim is 0; allowed are 1 and more"):
        Scores(1, 0)
    with pytest.raises(ValueError, match="scale_exponent is 1; allowed are −16 to 0"):
        Scores(1, 4, 1)
    with pytest.raises(ValueError, match=r"keys have shape \[5, 7\]; expected \[tokens, 8\]"):
        Scores(2, 4).output_shape((5, 8), (5, 7))


def test_tokens_that_do_not_divide_into_windows_are_refused():
    with pytest.raises(ValueError, match="10 queries do not divide into 3 windows"):
        Scores(1, 4, windows=3).output_shape((10, 4), (9, 4))
    with pytest.raises(ValueError, match="windows is 0"):
        Scores(1, 4, windows=0)
