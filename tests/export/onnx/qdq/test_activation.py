"""A table is recognised as the function from which it was made, and as no other."""

import dataclasses

import numpy as np
import pytest

from p2vit.export.onnx.qdq.activation import FUNCTIONS, function_table, recognise
from p2vit.numerics import Lookup
from p2vit.program.graph import TensorSpec


def spec(exponent, offset=0) -> TensorSpec:
    return TensorSpec("t", (4,), 8, True, np.array(exponent, np.int8), offset)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("exponents", [(-5, -5), (-4, -5), (-6, -6)])
@pytest.mark.parametrize("offset", [0, 120])
def test_each_function_is_recognised(name, exponents, offset):
    source, target = spec(exponents[0]), spec(exponents[1], offset)
    table = function_table(FUNCTIONS[name], source, target, 1)
    found = recognise(Lookup(table.astype(np.int8)), source, target)
    np.testing.assert_array_equal(function_table(FUNCTIONS[found], source, target, 1), table)


def test_gelu_and_its_approximations_are_told_apart():
    source, target = spec(-5), spec(-6)
    for name in ("gelu", "quick_gelu", "relu"):
        table = function_table(FUNCTIONS[name], source, target, 1)
        assert recognise(Lookup(table.astype(np.int8)), source, target) == name


def test_a_rounding_on_the_edge_is_forgiven_but_not_a_shift():
    source, target = spec(-5), spec(-5)
    table = function_table(FUNCTIONS["gelu"], source, target, 1)
    table[0, [100, 200]] += 1
    assert recognise(Lookup(table.astype(np.int8)), source, target) == "gelu"
    table[0, 150] += 2
    assert recognise(Lookup(table.astype(np.int8)), source, target) is None
    shifted = np.minimum(function_table(FUNCTIONS["gelu"], source, target, 1) + 1, 127)
    assert recognise(Lookup(shifted.astype(np.int8)), source, target) is None


def test_each_group_has_exponents_and_offsets_of_its_own():
    source, target = (
        spec([-5, -5, -4, -4], np.array([7, 7, -3, -3])),
        spec([-6, -6, -5, -5], np.array([1, 1, 90, 90])),
    )
    table = function_table(FUNCTIONS["gelu"], source, target, 2)
    assert table.shape == (2, 256)
    assert (table[0] != table[1]).any()
    assert recognise(Lookup(table.astype(np.int8)), source, target) == "gelu"
    assert recognise(Lookup(table[::-1].astype(np.int8)), source, target) is None


def test_tensors_with_exponents_per_channel_have_no_function():
    table = function_table(FUNCTIONS["gelu"], spec(-5), spec(-5), 1)
    several = dataclasses.replace(spec(-5), exponent=np.array([-5, -4, -5, -5]))
    assert recognise(Lookup(table.astype(np.int8)), several, spec(-5)) is None
