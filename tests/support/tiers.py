"""Two tiers of cases: a quick one in `make test`, the rest in `make test-extended`, which CI runs too."""

from collections.abc import Iterable
from typing import Any

import pytest


def extended(cases: Iterable[Any], quick: Iterable[Any]) -> list[Any]:
    """Mark all cases of a parametrised test as extended, except those named.

    Args:
        cases: Values of the parameter, tuples for several parameters.
        quick: Cases that stay in the quick tier. Each must be one of ``cases``.

    Raises:
        ValueError: A quick case is unknown, for example because it was renamed.
    """
    cases, quick = list(cases), list(quick)
    if unknown := [case for case in quick if case not in cases]:
        raise ValueError(f"{unknown[0]!r} is not one of the cases")

    def marked(case: Any) -> Any:
        values = case if isinstance(case, tuple) else (case,)
        return pytest.param(*values, marks=() if case in quick else pytest.mark.extended)

    return [marked(case) for case in cases]
