import numpy as np
import pytest

from p2vit.quant.search.cost import BudgetError, parse_budget
from p2vit.quant.search.fine import Evolution, Space, evolve, mutated
from p2vit.quant.search.journal import Journal
from p2vit.quant.search.layers import searchable
from tiny import config

LAYERS = searchable(config())
SPACE = Space(LAYERS, (4, 8), parse_budget("average-bits=6", LAYERS))
#: What each layer gains by its 8 bits; the last ones matter most.
GAINS = np.arange(len(LAYERS)) ** 2.0


def scores(genomes):
    return [float(sum(gain for gain, width in zip(GAINS, g, strict=True) if width == 8)) for g in genomes]


def run(seed=0, starts=(), **changes):
    journal = Journal(None, {})
    best = evolve(SPACE, starts, scores, journal, Evolution(seed=seed, **changes))
    return best, journal


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


def test_every_candidate_is_within_the_budget_and_logged_once():
    _, journal = run()
    assert all(SPACE.budget.holds(SPACE.bits(genome)) for genome in journal.scores)
    assert len(journal.scores) <= 25 + 8 * 20


def test_it_is_deterministic_by_seed():
    assert run(1)[1].scores == run(1)[1].scores
    assert list(run(1)[1].scores) != list(run(2)[1].scores)


def test_it_does_not_lose_its_start_and_improves():
    start = SPACE.random(np.random.default_rng(9))
    best, journal = run(starts=[start])
    assert start in journal.scores
    assert scores([best])[0] >= scores([start])[0]
    random_best = max(scores([SPACE.random(np.random.default_rng(i)) for i in range(10)]))
    assert scores([best])[0] >= random_best


def test_a_start_over_the_budget_is_repaired():
    best, _ = run(starts=[(8,) * len(LAYERS)], generations=0)
    assert SPACE.budget.holds(SPACE.bits(best))


def test_progress_is_told_after_each_candidate():
    calls = []
    evolve(SPACE, [], scores, Journal(None, {}), Evolution(generations=1), lambda *call: calls.append(call))
    assert calls[-1] == ("search", 45, 45) or calls[-1][1] < 45
    assert [call[1] for call in calls] == list(range(1, len(calls) + 1))


def test_an_infeasible_budget_is_refused():
    with pytest.raises(BudgetError):
        evolve(
            Space(LAYERS, (4, 8), parse_budget("average-bits=3", LAYERS)),
            [],
            scores,
            Journal(None, {}),
            Evolution(),
        )


def test_mutation_changes_few_genes():
    random = np.random.default_rng(0)
    genome = (4,) * len(LAYERS)
    changes = [
        sum(a != b for a, b in zip(genome, mutated(genome, SPACE, 4.0, random), strict=True))
        for _ in range(200)
    ]
    assert 1 < np.mean(changes) < 3  # about four are drawn anew, half of those come out the same
