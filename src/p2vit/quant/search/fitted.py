"""Candidates that a linear model of all scores so far holds to be the best: a guide for the evolution."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from p2vit.quant.search.journal import Genome
from p2vit.quant.search.space import Space

#: Weight of the prior that a step in width changes nothing, in candidates.
RIDGE = 3.0
#: Decimals of a coefficient that count; what lies below is the solver's own rounding.
DECIMALS = 9
#: Halvings of the price of a bit.
BISECTIONS = 60


def proposals(
    space: Space, scores: Mapping[Genome, float], count: int, random: np.random.Generator
) -> list[Genome]:
    """Best candidates of linear models of the noise in dB.

    A layer's direct sensitivity is taken with all others wide; in a mix of narrow layers, errors of different
    layers cancel and pile up, and what a layer is worth there shows in the scores of mixes alone. Each step
    from one width to the next narrower of each layer has a coefficient, fitted by ridge regression.

    Args:
        space: What is allowed.
        scores: SQNR in dB of the candidates so far, at least one.
        count: Candidates wanted; they need not differ.
        random: Draws the samples: the first model is fitted to all scores, each other one to as many drawn
            with replacement, so that they differ in what the scores leave open.
    """
    genomes = list(scores)
    taken = np.array([steps(space, genome) for genome in genomes])
    noise = -np.array([scores[genome] for genome in genomes])
    found = []
    for index in range(count):
        rows = random.integers(len(genomes), size=len(genomes)) if index else np.arange(len(genomes))
        found.append(space.repaired(least_harm(space, fit(taken[rows], noise[rows])), random))
    return found


def steps(space: Space, genome: Genome) -> NDArray[np.float64]:
    """Which steps below the widest width each layer has taken: 0 or 1, [layers · (widths − 1)]."""
    ladder = np.array(space.widths[:-1])
    return (np.array(genome)[:, None] <= ladder).astype(np.float64).ravel()


def fit(taken: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ridge regression on centred data: the coefficient of each step.

    Args:
        taken: [candidates, steps].
        noise: [candidates], dB.
    """
    centred = taken - taken.mean(axis=0)
    moments = centred.T @ centred + RIDGE * np.eye(taken.shape[1])
    found: NDArray[np.float64] = np.linalg.solve(moments, centred.T @ (noise - noise.mean()))
    return found.round(DECIMALS)


def least_harm(space: Space, coefficients: NDArray[np.float64]) -> Genome:
    """Least summed coefficients within the budget, by a price on what a layer costs (Lagrange).

    At the optimum but for less than one layer, which :meth:`Space.repaired` fills in.

    Args:
        space: What is allowed.
        coefficients: Of the steps, [layers · (widths − 1)].
    """
    layers = len(space.layers)
    # Harm of a width: of all steps down to it.
    harm = np.cumsum(coefficients.reshape(layers, len(space.widths) - 1)[:, ::-1], axis=1)[:, ::-1]
    harm = np.concatenate([harm, np.zeros((layers, 1))], axis=1)
    prices = np.array(space.prices)

    def chosen(price: float) -> NDArray[np.intp]:
        return np.argmin(harm + price * prices, axis=1)

    def holds(price: float) -> bool:
        return bool(prices[np.arange(layers), chosen(price)].sum() <= space.budget.limit)

    low, high = 0.0, 1.0
    while not holds(high) and high < 2.0**BISECTIONS:
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return tuple(space.widths[level] for level in chosen(high))
