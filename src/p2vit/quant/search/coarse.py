"""Coarse step of the search: the widths with the least total sensitivity within a budget, by integer programming."""

from collections.abc import Mapping, Sequence

import numpy as np

from p2vit.errors import MissingPackageError, P2vitError
from p2vit.quant.search.cost import Bits, Budget, BudgetError
from p2vit.standard_output import standard_output_aside

#: Relative tolerance of the solver. If a solution exceeds the budget by it, the limit is lowered and solved again.
FORGIVEN = 2e-6
#: Largest number of such attempts, each with a lower limit.
ATTEMPTS = 20
#: Layer name → width → sensitivity: the error that this width causes.
Sensitivity = Mapping[str, Mapping[int, float]]


def solve(sensitivity: Sensitivity, budget: Budget) -> dict[str, int]:
    """Choose one width per layer with the least total sensitivity within the budget.

    This is a multiple-choice knapsack problem, solved as a mixed-integer linear program. The solution is optimal if
    the cost is the sum of the layers' prices. With ``Budget.whole`` the sum is only an estimate: the limit is then
    lowered by the excess of a solution until the exact cost is within the budget.

    Args:
        sensitivity: Finite sensitivity of every layer at every allowed width.
        budget: The limit, and the price of every layer at every allowed width.

    Returns:
        Layer name → width, in the order of ``sensitivity``.

    Raises:
        BudgetError: Even the cheapest widths exceed the budget.
        P2vitError: The solver found no solution.
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
    # HiGHS uses absolute tolerances, so all numbers are scaled to about one.
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
        # The lowered limit is below the sum of the smallest prices, but the cheapest widths fit the real budget.
        return cheapest(sensitivity, budget)
    raise P2vitError(f"the solver found no widths for {budget.name}={budget.limit:.6g}: {answer.message}")


def check(sensitivity: Sensitivity, budget: Budget) -> None:
    """Check that the cheapest widths are within the budget.

    Raises:
        BudgetError: They are not. The message gives the difference.
    """
    smallest = budget.total(cheapest(sensitivity, budget))
    if smallest > budget.limit * (1 + 1e-12):
        raise BudgetError(
            budget, smallest, sorted({width for widths in sensitivity.values() for width in widths})
        )


def cheapest(sensitivity: Sensitivity, budget: Budget) -> dict[str, int]:
    """Return the cheapest width of each layer; of widths with equal price the widest."""
    return {
        layer: min(sorted(widths, reverse=True), key=lambda width: budget.price.cost(layer, width))
        for layer, widths in sensitivity.items()
    }


def front(sensitivity: Sensitivity, budgets: Sequence[Budget]) -> list[dict[str, int]]:
    """Solve for several budgets. The results are points of the Pareto front of sensitivity against cost."""
    return [solve(sensitivity, budget) for budget in budgets]


def harm(sensitivity: Sensitivity, bits: Bits) -> float:
    """Return the total sensitivity of widths per layer."""
    return sum(sensitivity[layer][width] for layer, width in bits.items())
