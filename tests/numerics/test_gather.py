import numpy as np
import pytest

from p2vit.numerics import ConstantTokens, GatherTokens


def test_tokens_side_by_side_and_the_fill_token():
    x = np.arange(2 * 3 * 2, dtype=np.int8).reshape(2, 3, 2)
    gather = GatherTokens(np.array([[2, 0], [-1, 1]]), np.array([7, 9], np.int8))
    out = gather.compute(x)
    assert out.dtype == np.int8
    assert out.tolist() == [[[4, 5, 0, 1], [7, 9, 2, 3]], [[10, 11, 6, 7], [7, 9, 8, 9]]]
    assert gather.output_shape((3, 2)) == out.shape[1:]


def test_a_permutation_and_its_inverse_are_nothing():
    rng = np.random.default_rng(0)
    order, fill = rng.permutation(12), np.zeros(5, np.int16)
    x = rng.integers(-3000, 3000, (2, 12, 5)).astype(np.int16)
    there = GatherTokens(order[:, None], fill)
    back = GatherTokens(np.argsort(order)[:, None], fill)
    assert np.array_equal(back.compute(there.compute(x)), x)


def test_bounds_know_the_fill_token_only_where_it_is_used():
    fill = np.array([-100, 90], np.int8)
    assert GatherTokens(np.array([[0], [-1]]), fill).bounds((-5, 5)).output == (-100, 90)
    assert GatherTokens(np.array([[0], [1]]), fill).bounds((-5, 5)).output == (-5, 5)


@pytest.mark.parametrize(
    ("index", "fill", "message"),
    [
        (np.array([0, 1]), np.zeros(2, np.int8), "index has shape"),
        (np.array([[-2]]), np.zeros(2, np.int8), "goes down to -2"),
        (np.array([[0]]), np.zeros((1, 2), np.int8), "fill has shape"),
        (np.array([[0]]), np.zeros(2, np.int32), "fill is int32"),
    ],
)
def test_wrong_parameters_are_refused(index, fill, message):
    with pytest.raises(ValueError, match=message):
        GatherTokens(index, fill)


def test_wrong_shapes_are_refused():
    gather = GatherTokens(np.array([[3]]), np.zeros(2, np.int8))
    with pytest.raises(ValueError, match="the fill token has 2 channels"):
        gather.output_shape((4, 3))
    with pytest.raises(ValueError, match="index goes up to 3; there are 3 tokens"):
        gather.output_shape((3, 2))


def test_constant_tokens_are_the_same_for_every_image():
    constant = ConstantTokens(np.array([[1, -2, 3]], np.int8))
    out = constant.compute(np.zeros((4, 9, 5), np.int16))
    assert out.dtype == np.int8
    assert out.tolist() == [[[1, -2, 3]]] * 4
    assert constant.output_shape((9, 5)) == (1, 3)
    assert constant.bounds((0, 0)).output == (-2, 3)
    assert constant.output_format() == (8, True)
    with pytest.raises(ValueError, match=r"expected \[tokens, channels\]"):
        ConstantTokens(np.zeros(3, np.int8))
    with pytest.raises(ValueError, match="tokens is int32"):
        ConstantTokens(np.zeros((1, 3), np.int32))
