from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2vit.numerics import AttentionValues, Scores, Softmax
from p2vit.numerics.attention_values import QUOTIENT_FRACTION
from p2vit.numerics.rounding import INT32, int_range

#: What the docstring promises before the last rounding, in steps of v.
QUOTIENT_ERROR = Fraction(1, 2**8) + Fraction(128, 2**14)


def codes_of(rng, shape, form):
    """Codes as a softmax makes them: each row has the largest code somewhere."""
    top = 256 if form == "linear" else 16
    codes = rng.integers(0, top, shape).astype(np.uint8)
    at = rng.integers(0, shape[-1], shape[:-1])[..., None]
    np.put_along_axis(codes, at, 255 if form == "linear" else 0, axis=-1)
    return codes


def weight(code, form, guard):
    if form == "linear":
        return int(code)
    return 1 << (guard - int(code)) if code <= guard else 0


def stepwise(row, column, form, guard):
    """The documented steps 1 to 4 on Python integers: registers by name, and the product before its shift."""
    weights = [weight(code, form, guard) for code in row]
    accumulator = sum(w * int(v) for w, v in zip(weights, column, strict=True))
    total = sum(weights)
    n = total.bit_length()
    reciprocal = (1 << (n + 14)) // total
    reduced = floor(Fraction(accumulator, 1) / Fraction(2) ** (n - 8) + Fraction(1, 2))
    return {"accumulator": accumulator, "sum": total, "product": reduced * reciprocal}, reciprocal, reduced


@given(
    st.integers(1, 300),
    st.sampled_from(["linear", "log2"]),
    st.integers(8, 15),
    st.integers(-16, 8),
    st.sampled_from([8, 16]),
    st.sampled_from(["random", "low", "high", "mixed"]),
    st.integers(0, 2**32 - 1),
)
def test_against_fractions_with_every_register(keys, form, guard, shift, bits, values, seed):
    rng = np.random.default_rng(seed)
    codes = codes_of(rng, (1, 1, 2, keys), form)
    if seed % 5 == 0:
        codes[:] = 255 if form == "linear" else 0
    v = {
        "random": rng.integers(-128, 128, (1, keys, 2)),
        "low": np.full((1, keys, 2), -128),
        "high": np.full((1, keys, 2), 127),
        "mixed": np.where(rng.integers(0, 2, (1, keys, 2)), -128, 127),
    }[values].astype(np.int8)
    operator = AttentionValues(1, np.full(2, shift), form, guard, bits)
    out = operator.compute(codes, v)
    assert out.dtype == np.dtype(f"int{bits}")
    assert out.shape == (1, 2, 2)
    limits = (int(v.min()), int(v.max()))
    bounds = operator.bounds_for(keys, (0, 255), limits)
    low, high = int_range(bits, True)
    for query in range(2):
        for channel in range(2):
            row, column = codes[0, 0, query], v[0, :, channel]
            registers, reciprocal, reduced = stepwise(row, column, form, guard)
            assert 1 << 14 <= reciprocal <= 1 << 15
            assert abs(reduced) <= 1 << 15
            total_shift = QUOTIENT_FRACTION + shift
            registers["product"] += 1 << (total_shift - 1)
            for name, value in registers.items():
                least, most = bounds.intermediates[name]
                assert least <= value <= most, name
                # 16-bit guards with hundreds of keys are what the audit, not the operator, rules out.
                assert INT32[0] <= value <= INT32[1] or keys << guard >= 1 << 24
            quotient = Fraction(registers["accumulator"], registers["sum"])
            product = registers["product"] - (1 << (total_shift - 1))
            assert abs(Fraction(product, 1 << QUOTIENT_FRACTION) - quotient) <= QUOTIENT_ERROR
            got = int(out[0, query, channel])
            assert got == max(low, min(high, registers["product"] >> total_shift))
            assert bounds.output[0] <= got <= bounds.output[1]
            ideal = quotient / Fraction(2) ** shift
            if low <= ideal <= high:
                assert abs(got - ideal) <= Fraction(1, 2) + QUOTIENT_ERROR / Fraction(2) ** shift


def test_error_bound_is_nearly_reached():
    """Measured worst case over many rows: the promise is not far above it."""
    rng = np.random.default_rng(0)
    worst = Fraction(0)
    for _ in range(4000):
        keys = int(rng.integers(1, 4))
        row = codes_of(rng, (1, keys), "linear")[0]
        column = rng.integers(100, 128, keys)
        registers, _, _ = stepwise(row, column, "linear", 15)
        quotient = Fraction(registers["accumulator"], registers["sum"])
        worst = max(worst, abs(Fraction(registers["product"], 1 << QUOTIENT_FRACTION) - quotient))
    assert QUOTIENT_ERROR / 3 < worst <= QUOTIENT_ERROR


def test_constant_values_come_back():
    rng = np.random.default_rng(0)
    for value in (-128, -1, 0, 1, 77, 127):
        v = np.full((1, 50, 3), value, np.int8)
        for form in ("linear", "log2"):
            out = AttentionValues(1, np.zeros(3, int), form).compute(codes_of(rng, (1, 1, 7, 50), form), v)
            assert (out == value).all()


def test_one_key_is_copied():
    v = np.arange(-128, 128, dtype=np.int8)[None, None, :]
    for form, code in (("linear", 255), ("log2", 0)):
        out = AttentionValues(4, np.zeros(256, int), form).compute(np.full((1, 4, 1, 1), code, np.uint8), v)
        assert np.array_equal(out, v)


def test_heads_and_channels_are_kept_apart():
    rng = np.random.default_rng(1)
    codes, v = codes_of(rng, (2, 3, 4, 5), "linear"), rng.integers(-128, 128, (2, 5, 6)).astype(np.int8)
    shift = rng.integers(-2, 3, 6)
    whole = AttentionValues(3, shift).compute(codes, v)
    for head in range(3):
        part = slice(2 * head, 2 * head + 2)
        alone = AttentionValues(1, shift[part]).compute(codes[:, head : head + 1], v[..., part])
        assert np.array_equal(whole[..., part], alone)


def test_codes_below_the_guard_count_as_nothing():
    operator = AttentionValues(1, np.zeros(1, int), "log2", guard=8)
    assert (
        operator.weights_of(np.arange(16, dtype=np.uint8)).tolist() == [256 >> c for c in range(9)] + [0] * 7
    )


def test_largest_number_of_keys_fits_int32():
    for form in ("linear", "log2"):
        operator = AttentionValues(1, np.zeros(1, int), form)
        for low, high in operator.bounds((0, 255), (-128, 127)).intermediates.values():
            assert INT32[0] <= low
            assert high <= INT32[1]


def test_refusals():
    shift = np.zeros(6, int)
    with pytest.raises(ValueError, match="guard is 16; allowed are 8 to 15"):
        AttentionValues(2, shift, guard=16)
    with pytest.raises(ValueError, match="form is 'x'; allowed are 'linear' and 'log2'"):
        AttentionValues(2, shift, "x")
    with pytest.raises(ValueError, match="output_bits is 32; allowed are 8 and 16"):
        AttentionValues(2, shift, output_bits=32)
    with pytest.raises(ValueError, match="expected one per channel of 4 heads"):
        AttentionValues(4, shift)
    with pytest.raises(ValueError, match="heads is 0"):
        AttentionValues(0, shift)
    with pytest.raises(ValueError, match=r"shift leaves −16..8"):
        AttentionValues(2, shift + 9)
    with pytest.raises(ValueError, match=r"codes have shape \[2, 4, 5\] and values \[4, 6\]"):
        AttentionValues(2, shift).output_shape((2, 4, 5), (4, 6))


@pytest.mark.parametrize("form", ["linear", "log2"])
def test_windows_are_attentions_of_their_own(form):
    rng = np.random.default_rng(5)
    windows, n, heads, dim = 3, 4, 2, 5
    q, k, v = (rng.integers(-128, 128, (2, windows * n, heads * dim)).astype(np.int8) for _ in range(3))
    softmax, shift = Softmax(np.zeros(heads, np.int8), form), np.zeros(heads * dim, np.int8)
    scores = Scores(heads, dim, windows=windows).compute(q, k)
    assert scores.shape[1:] == Scores(heads, dim, windows=windows).output_shape(q.shape[1:], k.shape[1:])
    whole = AttentionValues(heads, shift, form, windows=windows).compute(softmax.compute(scores), v)
    for w in range(windows):
        part = slice(w * n, w * n + n)
        alone = Scores(heads, dim).compute(q[:, part], k[:, part])
        assert np.array_equal(scores[:, :, part], alone)
        mixed = AttentionValues(heads, shift, form).compute(softmax.compute(alone), v[:, part])
        assert np.array_equal(whole[:, part], mixed)


def test_tokens_that_do_not_divide_into_windows_are_refused():
    with pytest.raises(ValueError, match=r"expected \[1, 3 · queries, keys\]"):
        AttentionValues(1, np.zeros(4, np.int8), windows=3).output_shape((1, 9, 3), (6, 4))
