import numpy as np
import pytest

from p2vit.errors import P2vitError
from p2vit.evaluate.ablation import Remembered, choose_rows
from p2vit.report.ablation_table import markdown, plot

RESULT = {
    "model": "m", "data": "d", "bits": "w8a8", "images": 5, "calibration_images": 2, "seed": 0, "top1_float": 90.0,
    "command": "p2vit ablate m",
    "rows": [
        {"name": "ours", "integer": True, "top1": 89.0, "agreement": 98.0, "sqnr_db": 25.0, "seconds": 2.0},
        {"name": "theirs", "integer": False, "top1": None, "agreement": None, "sqnr_db": None, "seconds": 3.0},
    ],
}  # fmt: skip


def test_the_float_model_runs_once():
    calls = []

    def predict(pixels):
        calls.append(pixels)
        return pixels, pixels

    exact = Remembered([(np.zeros((1, 2, 2, 3), np.uint8), np.zeros(1, np.int64))] * 1, predict)
    for _ in range(3):
        exact(exact.batches[0][0])
    assert len(calls) == 1


def test_rows_are_chosen_by_parts_of_names():
    methods, pieces = ["p2vit", "p2vit-log2", "paper"], ["without the GELU"]
    assert choose_rows(methods, pieces, []) == [*methods, *pieces]
    assert choose_rows(methods, pieces, ["gelu", "paper"]) == ["paper", "without the GELU"]


def test_every_part_must_be_in_some_name():
    with pytest.raises(
        P2vitError, match=r"^--row 'papr': no such row\. Did you mean 'paper'\? Rows: p2vit; paper$"
    ):
        choose_rows(["p2vit", "paper"], [], ["p2vit", "papr"])


def test_markdown_says_how_and_with_what():
    text = markdown(RESULT)
    assert "| ours | integers | 89.00 | 98.00 | 25.00 | 2.0 |" in text
    assert "| theirs | simulated | – | – | – | 3.0 |" in text
    assert "Made by `p2vit ablate m`" in text


def test_plot():
    assert "25 dB" in plot(RESULT)
