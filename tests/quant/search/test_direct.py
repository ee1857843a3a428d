from dataclasses import replace

import numpy as np
import pytest

from p2vit.errors import DataError
from p2vit.quant.search.direct import direct_sensitivity


def test_it_is_the_features_error_when_one_layer_alone_is_narrow(prepared):
    scorer = prepared.scorer
    table = direct_sensitivity(scorer, threads=2)
    assert list(table) == [layer.name for layer in scorer.library.layers]
    reference = scorer.unrounded({})
    for name in ("blocks.0.attn.v", "blocks.1.mlp.fc2"):
        error = scorer.unrounded({name: 4}) - reference
        assert table[name][4] == pytest.approx((error**2).sum() / (scorer.exact.astype(float) ** 2).sum())
        assert table[name][4] > 0
        assert table[name][8] == 0


def test_progress_is_told(prepared):
    calls = []
    direct_sensitivity(prepared.scorer, 1, lambda *call: calls.append(call))
    assert calls[-1] == ("sensitivity", 12, 12)


def test_features_of_zeros_are_refused(prepared):
    scorer = replace(prepared.scorer, exact=np.zeros_like(prepared.scorer.exact))
    with pytest.raises(DataError, match="all features of the held-out photos are zero"):
        direct_sensitivity(scorer)
