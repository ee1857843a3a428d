import numpy as np
import pytest

from p2vit.quant.config import OURS
from p2vit.quant.pipeline import quantize_model
from p2vit.quant.sensitivity import block_errors, sqnr_db


def test_decibels():
    assert sqnr_db(np.array([10.0]), np.array([9.0])) == pytest.approx(20.0)
    assert sqnr_db(np.ones(3), np.ones(3)) == float("inf")


def test_local_errors_are_smaller_than_what_piles_up(tiny_model, photos):
    quantized, _ = quantize_model(tiny_model.module, [photos], OURS, 2)
    rows = block_errors(tiny_model.module, quantized, photos[:4], 2)
    assert rows[0]["local_sqnr_db"] == rows[0]["cumulative_sqnr_db"]
    assert all(row["local_sqnr_db"] > 15 for row in rows)
    assert rows[-1]["local_sqnr_db"] > rows[-1]["cumulative_sqnr_db"]
