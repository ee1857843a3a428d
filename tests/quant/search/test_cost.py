import pytest

from p2vit.errors import P2vitError
from p2vit.quant.search.cost import (
    BitOps,
    Budget,
    BudgetError,
    LayerCost,
    TableCost,
    WeightBytes,
    parse_budget,
)
from p2vit.quant.search.layers import searchable
from support.tiny import config

LAYERS = searchable(config())
ALL8 = {layer.name: 8 for layer in LAYERS}


def test_average_bits_is_the_mean_over_weights():
    budget = parse_budget("average-bits=6", LAYERS)
    assert budget.total(ALL8) == pytest.approx(8)
    half = {layer.name: 4 if layer.block else 8 for layer in LAYERS}
    assert budget.total(half) == pytest.approx(6)
    assert budget.holds(half)
    assert not budget.holds(ALL8)


def test_bytes_and_bit_operations():
    weights = sum(layer.weights for layer in LAYERS)
    assert Budget("bytes", WeightBytes(LAYERS), 1).total(ALL8) == weights
    assert Budget("bitops", BitOps(LAYERS), 1).total(ALL8) == weights * config().tokens * 64


def test_bytes_are_those_of_the_file():
    cost, layer = WeightBytes(LAYERS), LAYERS[0]
    assert [cost.cost(layer.name, bits) for bits in (3, 4, 5, 8)] == [288, 288, 576, 576]


def test_a_table_prices_layers():
    cost = TableCost({"a": {4: 1.5}})
    assert isinstance(cost, LayerCost)
    assert cost.cost("a", 4) == 1.5
    with pytest.raises(P2vitError, match=r"no price at 8 bits, only at \[4\]"):
        cost.cost("a", 8)
    with pytest.raises(P2vitError, match="'b': not in the table"):
        cost.cost("b", 4)


@pytest.mark.parametrize(
    ("text", "limit"),
    [("bytes=16M", 16e6), ("bitops=1.5G", 1.5e9), (" Average-Bits=5 ", 5), ("bytes=2MB", 2e6)],
)
def test_budgets_as_people_write_them(text, limit):
    assert parse_budget(text, LAYERS).limit == limit


@pytest.mark.parametrize("text", ["", "6", "watts=3", "bytes=-1", "bytes=0", "bytes=1.2.3", "bytes=x"])
def test_other_budgets_are_refused_with_what_is_allowed(text):
    with pytest.raises(P2vitError, match="Allowed: average-bits=NUMBER, bytes=NUMBER, bitops=NUMBER"):
        parse_budget(text, LAYERS)


def test_an_unknown_layer_is_named():
    with pytest.raises(P2vitError, match=r"Did you mean 'blocks\.0\.attn\.q'"):
        WeightBytes(LAYERS).cost("blocks.0.atn.q", 4)


def test_the_error_says_by_how_much_it_misses():
    error = BudgetError(parse_budget("average-bits=3", LAYERS), 4.0, (4, 8))
    assert (error.limit, error.smallest, error.gap) == (3.0, 4.0, 1.0)
    assert "misses by 1." in str(error)
    assert "smallest feasible budget is average-bits=4" in str(error)


def test_a_cost_that_is_the_limit_but_for_rounding_is_stated_as_the_limit():
    class Thirds:
        def cost(self, layer_name, bits):
            return bits / 3 + 1e-13

    assert Budget("average-bits", Thirds(), 6.0).total({"a": 4, "b": 6, "c": 8}) == 6.0
    assert Budget("average-bits", Thirds(), 6.0).total({"a": 4, "b": 6, "c": 9}) > 6.3
