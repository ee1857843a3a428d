from itertools import pairwise

import numpy as np
import pytest

from p2vit.quant.search.coarse import solve
from p2vit.quant.search.cost import parse_budget
from p2vit.quant.search.fitted import fit, least_harm, proposals, steps
from p2vit.quant.search.layers import searchable
from p2vit.quant.search.space import Space
from support.tiny import config

LAYERS = searchable(config())


def space(widths, limit=6.0):
    return Space(LAYERS, widths, parse_budget(f"average-bits={limit}", LAYERS))


def additive(widths, seed=0):
    """Noise of each layer at each width; zero at the widest."""
    random = np.random.default_rng(seed)
    steps = np.cumsum(random.uniform(0.1, 1, (len(LAYERS), len(widths) - 1)), axis=1)[:, ::-1]
    return [dict(zip(widths, [*row, 0.0], strict=True)) for row in steps]


def score(harm, genome):
    return 30 - sum(row[width] for row, width in zip(harm, genome, strict=True))


def test_steps_are_those_that_a_layer_has_taken_down():
    widths = space((4, 5, 6, 8))
    genome = (8, 6, 5, 4) + (8,) * (len(LAYERS) - 4)
    assert steps(widths, genome).reshape(len(LAYERS), 3)[:4].tolist() == [
        [0, 0, 0],
        [0, 0, 1],
        [0, 1, 1],
        [1, 1, 1],
    ]


def test_a_fit_finds_coefficients_that_are_there():
    random = np.random.default_rng(0)
    taken = random.integers(0, 2, (400, 6)).astype(float)
    wanted = np.arange(6.0)
    assert fit(taken, taken @ wanted + 7) == pytest.approx(wanted, rel=0.05, abs=0.05)


@pytest.mark.parametrize("widths", [(4, 8), (4, 5, 6, 8)])
@pytest.mark.parametrize("seed", range(4))
def test_the_cheapest_is_the_exact_optimum_but_for_a_layer(widths, seed):
    allowed, harm = space(widths, 6.3), additive(widths, seed)
    coefficients = np.array(
        [[row[low] - row[high] for low, high in pairwise(widths)] for row in harm]
    ).ravel()
    found = least_harm(allowed, coefficients)
    exact = solve({layer.name: row for layer, row in zip(LAYERS, harm, strict=True)}, allowed.budget)
    assert allowed.holds(found)
    worst = max(max(row.values()) for row in harm)
    assert score(harm, found) >= score(harm, allowed.genome(exact)) - worst


def test_proposals_beat_what_they_were_fitted_to():
    allowed, harm, random = space((4, 8)), additive((4, 8), 5), np.random.default_rng(1)
    known = {genome: score(harm, genome) for genome in (allowed.random(random) for _ in range(40))}
    found = proposals(allowed, known, 3, np.random.default_rng(2))
    assert len(found) == 3
    assert all(allowed.holds(genome) for genome in found)
    assert score(harm, found[0]) > max(known.values())
    assert found == proposals(allowed, known, 3, np.random.default_rng(2))


def test_where_there_is_one_width_there_is_one_proposal():
    allowed = space((4,))
    only = (4,) * len(LAYERS)
    assert set(proposals(allowed, {only: 20.0}, 2, np.random.default_rng(0))) == {only}
