import ctypes
from itertools import product

import numpy as np
import pytest

from p2vit.quant.search.coarse import front, harm, solve
from p2vit.quant.search.cost import Budget, BudgetError, TableCost
from p2vit.standard_output import standard_output_aside


def case(seed, layers=7, widths=(3, 4, 8)):
    random = np.random.default_rng(seed)
    names = [f"layer{i}" for i in range(layers)]
    sensitivity = {n: {w: float(random.random() * 2.0 ** (-2 * w)) for w in widths} for n in names}
    weights = {n: int(random.integers(1, 50)) for n in names}
    return sensitivity, TableCost({n: {w: weights[n] * w for w in widths} for n in names})


@pytest.mark.parametrize("seed", range(8))
def test_the_solution_is_the_best_of_all(seed):
    sensitivity, cost = case(seed)
    limit = 4.7 * sum(row[3] / 3 for row in cost.prices.values())
    budget = Budget("table", cost, limit)
    best = min(
        harm(sensitivity, bits)
        for choice in product((3, 4, 8), repeat=len(sensitivity))
        if budget.holds(bits := dict(zip(sensitivity, choice, strict=True)))
    )
    found = solve(sensitivity, budget)
    assert budget.holds(found)
    assert harm(sensitivity, found) == pytest.approx(best, rel=1e-9)


def test_more_budget_is_never_worse():
    sensitivity, cost = case(1, layers=20)
    least = sum(row[3] for row in cost.prices.values())
    budgets = [Budget("table", cost, least * factor) for factor in np.linspace(1, 2.7, 9)]
    harms = [harm(sensitivity, bits) for bits in front(sensitivity, budgets)]
    assert harms == sorted(harms, reverse=True)
    assert harms[-1] < harms[0]


def test_an_infeasible_budget_names_the_gap():
    sensitivity, cost = case(2)
    least = sum(row[3] for row in cost.prices.values())
    with pytest.raises(BudgetError, match="misses by") as caught:
        solve(sensitivity, Budget("table", cost, least - 1))
    assert caught.value.smallest == least
    assert caught.value.gap == 1
    solve(sensitivity, Budget("table", cost, caught.value.smallest))


def test_what_the_solver_prints_stays_off_standard_output(capfd):
    with standard_output_aside():
        ctypes.CDLL(None).puts(b"a line of the solver")
    print("{}")
    said = capfd.readouterr()
    assert said.out == "{}\n"
    assert "a line of the solver" in said.err
