"""Coarse step: the assignment with the least summed sensitivity under a budget, solved exactly."""

from collections.abc import Mapping, Sequence

import numpy as np

from p2vit.errors import MissingPackageError, P2vitError
from p2vit.quant.search.cost import Bits, Budget, BudgetError
from p2vit.standard_output import standard_output_aside

#: The solver forgives a millionth; where that goes over the budget it is asked again with that much less.
FORGIVEN = 2e-6
#: Times that it is asked again, with less each time, where prices add up only nearly.
ATTEMPTS = 20
#: Layer name → width → harm done by that width.
Sensitivity = Mapping[str, Mapping[int, float]]


def solve(sensitivity: Sensitivity, budget: Budget) -> dict[str, int]:
    """One width per layer, least summed sensitivity within the budget: a multiple-choice knapsack, as a MILP.

    Solved to optimality where the layers' prices add up. Where they do only nearly (``Budget.whole``), what a
    solution is over the budget is taken from the limit, until one is within it.

    Args:
        sensitivity: Of every layer at every width it may have, finite.
        budget: With a price for each of those.

    Returns:
        Layer → width, in the order of ``sensitivity``.

    Raises:
        BudgetError: not even the cheapest widths fit.
        P2vitError: the solver gave up.
        MissingPackageError: SciPy is not installed.
    """
    try:
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array
    except ImportError:
        raise MissingPackageError("scipy", "solving for a mix of widths", "quant") from None
    choices = [(layer, width) for layer, widths in sensitivity.items() for width in sorted(widths)]
    harm = np.array([sensitivity[layer][width] for layer, width in choices])
    price = np.array([budget.price.cost(layer, width) for layer, width in choices])
    check(sensitivity, budget)
    row = {layer: index for index, layer in enumerate(sensitivity)}
    rows, columns = [row[layer] for layer, _ in choices], np.arange(len(choices))
    one_each = csr_array((np.ones(len(choices)), (rows, columns)), shape=(len(row), len(choices)))
    # Scaled to about one: HiGHS works with absolute tolerances.
    largest = max(float(np.abs(harm).max()), 1e-300)
    room = budget.limit * (1 + 1e-12)
    for attempt in range(ATTEMPTS):
        limit = LinearConstraint(price[np.newaxis] / budget.limit, -np.inf, room / budget.limit)
        with standard_output_aside():
            answer = milp(
                harm / largest,
                integrality=np.ones(len(choices)),
                bounds=Bounds(0, 1),
                constraints=[LinearConstraint(one_each, 1, 1), limit],
                options={"mip_rel_gap": 0.0},
            )
        if not answer.success:
            break
        taken = [choice for choice, value in zip(choices, answer.x, strict=True) if value > 0.5]
        if budget.holds(bits := dict(taken)):
            return bits
        room -= max(budget.total(bits) - budget.limit, budget.limit * FORGIVEN * 10.0 ** min(attempt, 3))
    if answer.success or budget.whole is not None:
        # The limit left is below what the prices of the narrowest add up to, but they themselves do fit.
        return cheapest(sensitivity, budget)
    raise P2vitError(f"the solver found no mix for {budget.name}={budget.limit:.6g}: {answer.message}")


def check(sensitivity: Sensitivity, budget: Budget) -> None:
    """See that some assignment fits.

    Raises:
        BudgetError: none does; says by how much it misses.
    """
    smallest = budget.total(cheapest(sensitivity, budget))
    if smallest > budget.limit * (1 + 1e-12):
        raise BudgetError(
            budget, smallest, sorted({width for widths in sensitivity.values() for width in widths})
        )


def cheapest(sensitivity: Sensitivity, budget: Budget) -> dict[str, int]:
    """Every layer at its cheapest width; of equals the widest."""
    return {
        layer: min(sorted(widths, reverse=True), key=lambda width: budget.price.cost(layer, width))
        for layer, widths in sensitivity.items()
    }


def front(sensitivity: Sensitivity, budgets: Sequence[Budget]) -> list[dict[str, int]]:
    """The exact optimum at each of several budgets: points of the Pareto front of harm against cost."""
    return [solve(sensitivity, budget) for budget in budgets]


def harm(sensitivity: Sensitivity, bits: Bits) -> float:
    """Summed sensitivity of an assignment."""
    return sum(sensitivity[layer][width] for layer, width in bits.items())
