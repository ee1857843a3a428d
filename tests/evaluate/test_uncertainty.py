import numpy as np
import pytest

from p2vit.evaluate.uncertainty import mcnemar, wilson


def hits(right, of):
    return np.arange(of) < right


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [
        # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
        (81, 263, 25.53, 36.62),
        (15, 148, 6.24, 16.05),
        (0, 20, 0.0, 16.11),
        (1, 29, 0.61, 17.18),
    ],
)
def test_wilson_gives_the_published_intervals(right, of, low, high):
    assert wilson(hits(right, of)) == pytest.approx([low, high], abs=0.006)


def test_all_right_leaves_room_below():
    low, high = wilson(hits(40, 40))
    assert (80 < low < 95, high) == (True, 100.0)


def test_mcnemar_is_the_coin_of_the_photos_that_differ():
    program = np.array([True] * 9 + [False] * 1 + [True] * 50 + [False] * 7)
    exact = np.array([False] * 9 + [True] * 1 + [True] * 50 + [False] * 7)
    found = mcnemar(program, exact)
    assert (found.program_only, found.float_only) == (9, 1)
    # Two-sided: 2 · (C(10,0) + C(10,1)) / 2^10.
    assert found.p_value == pytest.approx(22 / 1024, rel=1e-3)


def test_models_that_never_differ_are_equally_good():
    same = hits(3, 5)
    found = mcnemar(same, same)
    assert (found.program_only, found.float_only, found.p_value) == (0, 0, 1.0)


def test_without_photos_nothing_can_be_said():
    none = np.zeros(0, dtype=bool)
    assert wilson(none) is None
    assert mcnemar(none, none) is None
