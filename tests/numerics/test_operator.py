import dataclasses

import numpy as np
import pytest

from p2vit.numerics import OPERATORS, Affine, AssembleTokens, Linear, Lookup, SelectToken
from p2vit.numerics.operator import expect


def linear(**changes):
    parameters = {
        "weight": np.zeros((2, 3), np.int8),
        "bias": np.zeros(2, np.int32),
        "shift": np.zeros(2, np.int8),
    }
    return Linear(**{**parameters, **changes})


def test_arrays_are_frozen_copies_in_their_dtype():
    weight = np.ones((2, 3), np.int64)
    operator = linear(weight=weight)
    weight[:] = 7
    assert operator.weight.dtype == np.int8
    assert operator.weight.max() == 1
    with pytest.raises(ValueError, match="read-only"):
        operator.weight[0, 0] = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        operator.weight_bits = 4


def test_what_nobody_can_change_is_not_copied():
    content = bytes(range(6))
    given = np.frombuffer(content, np.int8).reshape(2, 3)
    assert np.shares_memory(linear(weight=given).weight, given)
    read_only = np.ones((2, 3), np.int8)
    read_only.flags.writeable = False
    for other in (given[:, ::-1], read_only, np.frombuffer(bytearray(content), np.int8).reshape(2, 3)):
        operator = linear(weight=other)
        assert not np.shares_memory(operator.weight, other)
        assert operator.weight.flags.c_contiguous
        assert not operator.weight.flags.writeable


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"Linear.weight spans 0..200; int8 holds -128..127"):
        linear(weight=np.array([[0, 200, 1]] * 2))


@pytest.mark.parametrize("value", [np.zeros((2, 3)), np.zeros((2, 3), np.float16), np.zeros((2, 3), bool)])
def test_only_integers_are_allowed(value):
    with pytest.raises(TypeError, match=r"Linear.weight has dtype .*; only integers are allowed"):
        linear(weight=value)


@pytest.mark.parametrize("value", [[[1, 2, 3]] * 2, 3, None, "x"])
def test_arrays_must_be_arrays(value):
    with pytest.raises(TypeError, match=r"Linear.weight is .*; only an array of integers is allowed"):
        linear(weight=value)


@pytest.mark.parametrize("value", [0.5, None, True, [1], "1", ""])
def test_scalars_must_be_integers(value):
    with pytest.raises(TypeError, match=r"SelectToken.index is .*; expected an integer"):
        SelectToken(value)


def test_numpy_scalars_become_ints():
    assert type(SelectToken(np.int64(3)).index) is int


def test_fields_are_known():
    assert Linear.array_fields() == {
        "weight": "int8", "bias": "int32", "shift": "int8", "accumulator_exponent": "int8",
    }  # fmt: skip
    assert Linear.scalar_fields() == ("weight_bits", "output_bits")
    assert AssembleTokens.array_fields() == {"prefix": "", "position": ""}
    for kind in OPERATORS.values():
        assert set(kind.array_fields()) | set(kind.scalar_fields()) == {
            f.name for f in dataclasses.fields(kind)
        }
        assert len(kind.accepts) == kind.arity
        # The key of a tensor's exponents in the file must not be that of a parameter.
        assert "exponent" not in kind.array_fields()


def test_expect():
    expect(True, "never")
    with pytest.raises(ValueError, match="always"):
        expect(False, "always")


def test_only_matrix_products_have_macs():
    assert linear().macs_per_output == 3
    assert Lookup(np.zeros((1, 256), np.int8)).macs_per_output == 0
    assert Affine(np.ones(2, np.int16), np.zeros(2, np.int32), np.zeros(2, np.int8)).macs_per_output == 0
