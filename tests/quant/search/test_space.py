import numpy as np

from p2vit.quant.search.cost import parse_budget
from p2vit.quant.search.layers import searchable
from p2vit.quant.search.space import Space, mutated
from support.tiny import config

LAYERS = searchable(config())
SPACE = Space(LAYERS, (4, 8), parse_budget("average-bits=6", LAYERS))


def test_repair_fits_the_budget_and_fills_it():
    random = np.random.default_rng(0)
    prices = [
        SPACE.budget.price.cost(layer.name, 8) - SPACE.budget.price.cost(layer.name, 4) for layer in LAYERS
    ]
    for _ in range(50):
        genome = SPACE.repaired(tuple(int(w) for w in random.choice((4, 8), len(LAYERS))), random)
        room = SPACE.budget.limit - SPACE.cost(genome)
        assert room >= -1e-9
        assert all(width == 8 or price > room - 1e-9 for width, price in zip(genome, prices, strict=True))


def test_mutation_changes_few_genes():
    random = np.random.default_rng(0)
    genome = (4,) * len(LAYERS)
    changes = [
        sum(a != b for a, b in zip(genome, mutated(genome, SPACE, 4.0, random), strict=True))
        for _ in range(200)
    ]
    assert 1 < np.mean(changes) < 3  # about four are drawn again, and half of these keep their width


def test_prices_are_those_of_the_budget():
    for layer, row in zip(LAYERS, SPACE.prices, strict=True):
        assert row == [SPACE.budget.price.cost(layer.name, width) for width in (4, 8)]


def test_names_and_genomes_are_the_same_thing():
    genome = SPACE.random(np.random.default_rng(3))
    assert SPACE.genome(SPACE.bits(genome)) == genome
    assert SPACE.holds(genome)
    assert not SPACE.holds((8,) * len(LAYERS))
