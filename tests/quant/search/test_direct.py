import pytest
import torch

from p2vit.quant.search.direct import direct_sensitivity


def test_it_is_the_features_error_when_one_layer_alone_is_narrow(prepared):
    scorer = prepared.scorer
    table = direct_sensitivity(scorer, threads=2)
    assert list(table) == [layer.name for layer in scorer.library.layers]
    reference = scorer.features(scorer.library.model, 1)
    for name in ("blocks.0.attn.v", "blocks.1.mlp.fc2"):
        ours = scorer.features(scorer.library.compose({name: 4}), 1)
        expected = ((ours - reference).double() ** 2).sum() / (scorer.exact.double() ** 2).sum()
        assert table[name][4] == pytest.approx(float(expected), rel=1e-6)
        assert table[name][8] == 0


def test_progress_is_told(prepared):
    calls = []
    direct_sensitivity(prepared.scorer, 1, lambda *call: calls.append(call))
    assert calls[-1] == ("sensitivity", 2, 2)
    assert torch.get_num_threads() >= 1
