from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics import Linear
from p2vit.numerics.linear import absorb_offset, integer_matmul
from p2vit.numerics.rounding import int_range


def random_linear(rng, outputs, inputs, weight_bits=8, output_bits=8, **changes):
    low, high = int_range(weight_bits, True)
    parameters = {
        "weight": rng.integers(low, high + 1, (outputs, inputs)),
        "bias": rng.integers(-(2**20), 2**20, outputs),
        "shift": np.zeros(outputs, int) if output_bits == 32 else rng.integers(-3, 20, outputs),
    }
    return Linear(**{**parameters, **changes}, weight_bits=weight_bits, output_bits=output_bits)


def exact(operator, x):
    """Python integers and fractions, one number at a time."""
    low, high = int_range(operator.output_bits, True)
    out = []
    for row in x.tolist():
        for weights, bias, shift in zip(
            operator.weight.tolist(), operator.bias.tolist(), operator.shift.tolist(), strict=True
        ):
            accumulator = sum(a * b for a, b in zip(row, weights, strict=True)) + bias
            rounded = floor(Fraction(accumulator) / Fraction(2) ** shift + Fraction(1, 2))
            out.append(max(low, min(high, rounded)))
    return np.array(out).reshape(len(x), -1)


@given(
    st.integers(1, 6),
    st.integers(1, 40),
    st.integers(2, 8),
    st.sampled_from([8, 16, 32]),
    st.integers(0, 2**32 - 1),
)
def test_equals_exact_arithmetic(outputs, inputs, weight_bits, output_bits, seed):
    rng = np.random.default_rng(seed)
    operator = random_linear(rng, outputs, inputs, weight_bits, output_bits)
    x = rng.integers(-128, 128, (3, inputs)).astype(np.int8)
    got = operator.compute(x)
    assert np.array_equal(got, exact(operator, x))
    assert got.dtype == np.dtype(f"int{output_bits}")


@pytest.mark.parametrize("value", [-128, 127])
@pytest.mark.parametrize("weight", [-128, 127])
def test_extremes_are_exact_and_inside_the_bounds(value, weight):
    inputs = 3072
    operator = Linear(np.full((1, inputs), weight), np.array([0]), np.array([0]), output_bits=32)
    out = operator.compute(np.full((1, inputs), value, np.int8))
    assert out.item() == value * weight * inputs
    low, high = operator.bounds((-128, 127)).output
    assert low <= out.item() <= high


@given(
    st.integers(1, 30), st.integers(0, 2**32 - 1), st.sampled_from([(-128, 127), (0, 127), (-9, -3), (5, 9)])
)
def test_bounds_are_reached_and_contain_every_partial_sum(inputs, seed, limits):
    rng = np.random.default_rng(seed)
    operator = random_linear(rng, 3, inputs)
    lows, highs = operator.accumulator_ranges(limits)
    accumulator = operator.bounds(limits).intermediates["accumulator"]
    for n in range(3):
        weight, bias = operator.weight[n].astype(int), int(operator.bias[n])
        for x in (np.where(weight > 0, limits[1], limits[0]), np.where(weight > 0, limits[0], limits[1])):
            terms = [*(weight * x).tolist(), bias]
            rng.shuffle(terms)
            partial = np.cumsum(terms)
            assert lows[n] <= partial.min()
            assert partial.max() <= highs[n]
            shift = int(operator.shift[n])
            register = partial[-1] + (1 << (shift - 1) if shift > 0 else 0)
            register = register << max(-shift, 0)
            assert accumulator[0] <= register <= accumulator[1]
        if limits[0] <= 0 <= limits[1]:
            # Tight: the worst input is one that exists, as the positive terms alone reach the top.
            best = np.where(weight > 0, limits[1], limits[0]) * weight
            assert highs[n] == best.sum() + max(bias, 0)


def test_output_range_is_tight_for_one_channel():
    operator = Linear(np.array([[1, -2]]), np.array([10]), np.array([1]))
    assert operator.bounds((-128, 127)).output == (-128, 127)
    assert Linear(np.array([[1, -2]]), np.array([10]), np.array([4])).bounds((-4, 3)).output == (-1, 1)


@given(st.integers(0, 2**32 - 1), st.integers(-128, 128))
def test_absorbed_offset_is_exact(seed, offset):
    rng = np.random.default_rng(seed)
    operator = random_linear(rng, 4, 9, output_bits=32)
    x = rng.integers(-60, 60, (2, 9))
    bias = absorb_offset(operator.weight, operator.bias, offset)
    moved = Linear(operator.weight, bias, operator.shift, output_bits=32)
    assert np.array_equal(moved.compute(x), (x + offset) @ operator.weight.astype(int).T + operator.bias)


def test_an_offset_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="bias leaves int32 once the offset is absorbed"):
        absorb_offset(np.full((1, 100), 127, np.int8), np.array([2**31 - 1]), 128)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": np.zeros(3, int)}, r"weight has shape \(3,\); expected \[outputs, inputs\]"),
        ({"weight": np.zeros((2, 0), int)}, "both sides must be 1 or more"),
        ({"bias": np.zeros(3, int)}, r"bias has shape \(3,\); expected \(2,\)"),
        ({"shift": np.zeros(3, int)}, r"shift has shape \(3,\); expected \(2,\)"),
        ({"shift": np.array([0, 32])}, "shift leaves −31..31"),
        (
            {"accumulator_exponent": np.zeros(1, int)},
            r"accumulator_exponent has shape \(1,\); expected \(2,\)",
        ),
    ],
)
def test_shapes_are_checked(changes, message):
    parameters = {"weight": np.zeros((2, 3), int), "bias": np.zeros(2, int), "shift": np.zeros(2, int)}
    with pytest.raises(ValueError, match=message):
        Linear(**{**parameters, **changes})


def test_widths_are_checked():
    weight, zero = np.full((1, 2), 8), np.zeros(1, int)
    with pytest.raises(ValueError, match=r"weight spans 8..8; 4 bits hold -8..7"):
        Linear(weight, zero, zero, 4)
    with pytest.raises(ValueError, match="weight_bits is 9; allowed are 2 to 8"):
        Linear(weight, zero, zero, 9)
    with pytest.raises(ValueError, match="output_bits is 12; allowed are 8, 16 and 32"):
        Linear(weight, zero, zero, output_bits=12)
    with pytest.raises(ValueError, match="shift must be 0 where the output is the int32 accumulator"):
        Linear(weight, zero, np.ones(1, int), output_bits=32)


def test_input_shapes():
    operator = Linear(np.zeros((2, 3), int), np.zeros(2, int), np.zeros(2, int))
    assert operator.output_shape((5, 7, 3)) == (5, 7, 2)
    with pytest.raises(ValueError, match=r"input has shape \[5, 4\]; the weight wants 3 channels last"):
        operator.output_shape((5, 4))


@given(
    st.lists(st.integers(1, 3), max_size=2),
    st.tuples(st.integers(1, 9), st.integers(1, 70), st.integers(1, 9)),
    st.sampled_from(["int8", "uint8", "int16", "int32"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_products_are_exact_integers(front, sides, dtype, transposed, seed):
    rng = np.random.default_rng(seed)
    m, k, n = sides
    a = rng.integers(0, 128, (*front, m, k)).astype(dtype)
    b = rng.integers(-128, 128, (n, k) if transposed else (*front, k, n)).astype(np.int8)
    b = b.T if transposed else b
    found = integer_matmul(a, b)
    assert found.dtype == np.int32
    assert found.flags.c_contiguous
    assert np.array_equal(found, np.matmul(a.astype(object), b.astype(object)).astype(np.int64))


def test_products_wrap_like_a_register():
    # What overflows is refused by the proof; until then every back-end wraps alike.
    a, b = np.full((1, 3), 2**15), np.full((3, 1), 2**15)
    assert integer_matmul(a, b).tolist() == [[3 * 2**30 - 2**32]]
