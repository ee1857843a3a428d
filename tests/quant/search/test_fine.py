import numpy as np
import pytest

from p2vit.quant.search.cost import BudgetError, parse_budget
from p2vit.quant.search.fine import Evolution, evolve
from p2vit.quant.search.journal import Journal
from p2vit.quant.search.layers import searchable
from p2vit.quant.search.space import Space
from support.tiny import config

LAYERS = searchable(config())
SPACE = Space(LAYERS, (4, 8), parse_budget("average-bits=6", LAYERS))
#: Score that 8 bits add in each layer; the last layers add most.
GAINS = np.arange(len(LAYERS)) ** 2.0


def scores(genomes):
    return [float(sum(gain for gain, width in zip(GAINS, g, strict=True) if width == 8)) for g in genomes]


def run(seed=0, starts=(), **changes):
    journal = Journal(None, {})
    best = evolve(SPACE, starts, scores, journal, Evolution(seed=seed, **changes))
    return best, journal


def test_every_candidate_is_within_the_budget_and_logged_once():
    _, journal = run()
    assert all(SPACE.budget.holds(SPACE.bits(genome)) for genome in journal.scores)
    assert len(journal.scores) <= 25 + 8 * 30


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
    assert calls[-1] == ("search", 55, 55) or calls[-1][1] < 55
    assert [call[1] for call in calls] == list(range(1, len(calls) + 1))


def test_what_the_scores_say_guides_it():
    # The best choice gives 8 bits to the six layers with the largest gains; evolution alone seldom finds it.
    few = {"population": 8, "generations": 2, "crossovers": 4, "mutations": 4}
    guided = [scores([run(seed, **few, fitted=4)[0]])[0] for seed in range(5)]
    alone = [scores([run(seed, **few, fitted=0)[0]])[0] for seed in range(5)]
    assert np.mean(guided) > np.mean(alone)


def test_an_infeasible_budget_is_refused():
    with pytest.raises(BudgetError):
        evolve(
            Space(LAYERS, (4, 8), parse_budget("average-bits=3", LAYERS)),
            [],
            scores,
            Journal(None, {}),
            Evolution(),
        )
