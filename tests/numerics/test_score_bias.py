import numpy as np
import pytest

from p2vit.numerics import AttentionValues, ScoreBias, Softmax


def test_bias_and_mask_written_out():
    rng = np.random.default_rng(0)
    heads, windows, n = 2, 3, 4
    scores = rng.integers(-1000, 1000, (2, heads, windows * n, n)).astype(np.int32)
    bias = rng.integers(-50, 50, (heads, n, n)).astype(np.int32)
    regions = rng.integers(0, 2, (windows, n)).astype(np.int8)
    masked = np.array([-5000, -6000], np.int32)
    out = ScoreBias(bias, regions, masked).compute(scores)
    for h in range(heads):
        for w in range(windows):
            for i in range(n):
                for j in range(n):
                    same = regions[w, i] == regions[w, j]
                    want = scores[:, h, w * n + i, j] + bias[h, i, j] if same else masked[h]
                    assert np.array_equal(out[:, h, w * n + i, j], np.broadcast_to(want, 2))
    plain = ScoreBias(bias).compute(scores).reshape(2, heads, windows, n, n)
    assert np.array_equal(plain, scores.reshape(plain.shape) + bias[:, None])


@pytest.mark.parametrize("form", ["linear", "log2"])
def test_masked_keys_weigh_exactly_nothing(form):
    rng = np.random.default_rng(1)
    n, v = 4, rng.integers(-100, 100, (1, 4, 3)).astype(np.int8)
    regions = np.array([[0, 0, 1, 1]], np.int8)
    bias = ScoreBias(np.zeros((1, n, n), np.int32), regions, np.array([-200000], np.int32))
    scores = rng.integers(-60000, 60000, (1, 1, n, n)).astype(np.int32)
    codes = Softmax(np.zeros(1, np.int8), form).compute(bias.compute(scores))
    values = AttentionValues(1, np.zeros(3, np.int8), form, 14)
    other = v.copy()
    other[:, 2:] = 55  # tokens that the first two must not see
    assert np.array_equal(values.compute(codes, v)[:, :2], values.compute(codes, other)[:, :2])
    assert (values.weights_of(codes)[0, 0, :2, 2:] == 0).all()
    if form == "log2":  # with one guard bit more a masked key would weigh 1
        assert (AttentionValues(1, np.zeros(3, np.int8), form, 15).weights_of(codes)[0, 0, :2, 2:] == 1).all()


def test_bounds_hold_the_masked_score():
    bias = np.array([[[-3, 5], [0, 0]]], np.int32)
    assert ScoreBias(bias).bounds((-10, 10)).output == (-13, 15)
    masked = ScoreBias(bias, np.array([[0, 1]], np.int8), np.array([-99], np.int32))
    assert masked.bounds((-10, 10)).output == (-99, 15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([np.zeros((2, 3), np.int32)], r"bias has shape \(2, 3\)"),
        ([np.zeros((2, 3, 4), np.int32)], "bias has shape"),
        (
            [np.zeros((2, 3, 3), np.int32), np.zeros((5, 4), np.int8), np.zeros(2, np.int32)],
            "regions has shape",
        ),
        (
            [np.zeros((2, 3, 3), np.int32), np.zeros((5, 3), np.int8), np.zeros(1, np.int32)],
            "masked has shape",
        ),
    ],
)
def test_wrong_parameters_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScoreBias(*arguments)


def test_wrong_shapes_are_refused():
    operator = ScoreBias(np.zeros((2, 3, 3), np.int32), np.zeros((4, 3), np.int8), np.zeros(2, np.int32))
    assert operator.output_shape((2, 12, 3)) == (2, 12, 3)
    with pytest.raises(ValueError, match="the bias wants"):
        operator.output_shape((2, 12, 4))
    with pytest.raises(ValueError, match="there are regions for 12"):
        operator.output_shape((2, 9, 3))
