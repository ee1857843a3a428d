import pytest
import torch

from p2vit.quant.config import OURS
from p2vit.quant.float_statistics import read_tokens, token_importance, weighted_sum
from support.tiny import float_model


@pytest.mark.parametrize(("pool", "read"), [("token", 1), ("avg", None), ("token_avg", None)])
def test_only_the_tokens_of_the_head_are_read_after_the_last_block(pool, read):
    model = float_model(pool=pool).module
    last = len(model.blocks) - 1
    assert read_tokens(model, last, ()) == read
    assert read_tokens(model, last - 1, ()) is None
    assert read_tokens(model, last, {last}) is None  # its patch tokens are put out as a map


def test_weights_of_tokens_add_up_to_their_number():
    model = float_model().module
    for index, share in enumerate((OURS.class_share, OURS.last_share)):
        weights = token_importance(model, index, OURS)
        assert float(weights.sum()) == pytest.approx(model.config.tokens)
        assert float(weights[0]) == pytest.approx(model.config.tokens * share)


def test_a_weighted_sum_counts_photos_and_tokens():
    x, weight = torch.arange(12.0).view(2, 3, 2), torch.tensor([1.0, 0.0, 2.0])
    wanted = sum(x[photo, token] * weight[token] for photo in range(2) for token in range(3))
    assert torch.equal(weighted_sum(x, weight), wanted.double())
