"""The sentence about two runtimes, and the interval behind it."""

import numpy as np
import pytest

from p2vit.bench.statement import ratio_interval, statement


def row(ratio, low, high):
    return {"name": "other", "batch": 8, "ratio": ratio, "ratio_interval": [low, high]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((1.66, 1.6, 1.71), "At batch 8 p2vit is 1.66 times as fast as other (95 % interval 1.60 to 1.71)."),
        ((0.5, 0.4, 0.625), "At batch 8 other is 2.00 times as fast as p2vit (95 % interval 1.60 to 2.50)."),
        (
            (1.02, 0.97, 1.08),
            "At batch 8 no difference between p2vit and other is shown (ratio 1.02, 95 % interval 0.97 to 1.08).",
        ),
    ],
)
def test_sentences(given, expected):
    assert statement(row(*given)) == expected


def test_the_interval_covers_the_true_ratio_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        low, high = ratio_interval(rng.lognormal(0.5, 0.2, 40), rng.lognormal(0, 0.2, 40))
        covered += low <= np.exp(0.5) <= high
    assert 180 <= covered <= 199


def test_constant_times_have_no_width():
    assert ratio_interval([2.0] * 5, [1.0] * 5) == (2, 2)
