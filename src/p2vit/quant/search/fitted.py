"""Candidates that are best according to linear models of the scores so far; they guide the evolution."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from p2vit.quant.search.journal import Genome
from p2vit.quant.search.space import Space

#: Weight of the ridge term, in candidates.
RIDGE = 3.0
#: Decimals of a coefficient; smaller differences are rounding errors of the solver.
DECIMALS = 9
#: Bisection steps for the Lagrange multiplier.
BISECTIONS = 60


def proposals(
    space: Space, scores: Mapping[Genome, float], count: int, random: np.random.Generator
) -> list[Genome]:
    """Return the best candidates of linear models of the noise in dB.

    Direct sensitivity is measured with all other layers wide. Between narrow layers, errors partly cancel or add up,
    and only the scores of such candidates show this. The model has one coefficient per layer and step from one width
    to the next narrower one, fitted by ridge regression.

    Args:
        space: Allowed widths and the budget.
        scores: SQNR of the candidates so far, in dB; at least one.
        count: Number of candidates to return; some may be equal.
        random: Random generator of the bootstrap samples. The first model is fitted to all scores, each further model
            to a sample of the same size, drawn with replacement.
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
    """Return 1 for each step below the widest width that a layer takes, otherwise 0: [layers · (widths − 1)]."""
    ladder = np.array(space.widths[:-1])
    return (np.array(genome)[:, None] <= ladder).astype(np.float64).ravel()


def fit(taken: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit the coefficient of each step by ridge regression on centred data.

    Args:
        taken: Result of :func:`steps` for each candidate, [candidates, steps].
        noise: Noise of each candidate in dB, [candidates].

    Returns:
        Coefficients in dB, [steps].
    """
    centred = taken - taken.mean(axis=0)
    moments = centred.T @ centred + RIDGE * np.eye(taken.shape[1])
    found: NDArray[np.float64] = np.linalg.solve(moments, centred.T @ (noise - noise.mean()))
    return found.round(DECIMALS)


def least_harm(space: Space, coefficients: NDArray[np.float64]) -> Genome:
    """Minimise the sum of the coefficients within the budget, with a Lagrange multiplier on the cost.

    The result may leave less than one layer's cost of the budget unused; :meth:`Space.repaired` uses it.

    Args:
        space: Allowed widths and the budget.
        coefficients: Coefficients of the steps, [layers · (widths − 1)].
    """
    layers = len(space.layers)
    # Predicted noise of a width: the sum of all steps down to it.
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
