"""How far chance alone could move a figure: intervals of shares, and the test of two models on the same photos."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import binomtest

#: Share of repeated samples whose interval holds the true value.
CONFIDENCE = 0.95

#: Lower and upper end in percent. A list, as JSON has it: files of results are checked against this type.
Interval = Annotated[list[float], Field(min_length=2, max_length=2)]


class McNemar(BaseModel):
    """McNemar's exact test of program against float model, on the labelled photos."""

    model_config = ConfigDict(frozen=True)

    program_only: int = Field(description="photos that only the program gets right")
    float_only: int = Field(description="photos that only the float model gets right")
    p_value: float = Field(
        description="probability of a difference at least so large if both models were equally good"
    )


def wilson(hits: NDArray[np.bool_]) -> Interval | None:
    """Return the 95 % interval of a share in percent, two decimals, or None if there are no photos.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927, without
    continuity correction, as SciPy computes it.

    Args:
        hits: bool [photos].
    """
    if not hits.size:
        return None
    found = binomtest(int(hits.sum()), hits.size).proportion_ci(CONFIDENCE, method="wilson")
    return [round(100 * float(end), 2) for end in (found.low, found.high)]


def mcnemar(program: NDArray[np.bool_], exact: NDArray[np.bool_]) -> McNemar | None:
    """Test whether program and float model are equally good; return None if there are no photos.

    Photos that both get right, or both get wrong, say nothing about the difference. The others are heads or tails of
    a fair coin if both models are equally good: a two-sided binomial test.

    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions", 1947; the
    exact form.

    Args:
        program: bool [photos], whether the program is right.
        exact: bool [photos], whether the float model is right.
    """
    if not program.size:
        return None
    ours, theirs = int((program & ~exact).sum()), int((exact & ~program).sum())
    chance = float(binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0
    return McNemar(program_only=ours, float_only=theirs, p_value=float(f"{chance:.4g}"))
