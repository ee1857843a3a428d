"""The form of the softmax codes: log2 where one key hides many others, linear where few keys share the weight."""

import pytest
import torch

from p2vit.models.windows import BlockShape
from p2vit.quant.fold import Affine
from p2vit.quant.grid import Grid
from p2vit.quant.simulated import QuantizedBlock
from p2vit.quant.softmax_form import choose_form
from p2vit.quant.workers import Workers

CHANNELS = 4


def choice(tokens: int, distance: float) -> str:
    """Choose the form for a photo whose first key has a score that is larger than the others' by a distance."""
    generator = torch.Generator().manual_seed(1)
    photo = torch.rand(2, tokens, CHANNELS, generator=generator) * 0.1
    photo[:, 0, 0] += distance
    block = QuantizedBlock(BlockShape(CHANNELS, 1, 16, tokens), 1e-6, "gelu", 0, "linear")
    for name in ("norm1", "q", "k", "v"):
        block.grids[name] = Grid(torch.tensor(-10.0, dtype=torch.float64), 16)
    zero, same = torch.zeros(CHANNELS), torch.eye(CHANNELS)
    first = torch.zeros(CHANNELS, CHANNELS)
    first[0, 0] = 1
    # Every query is one in the first channel; so the scores are the keys' first channel.
    layers = {
        "q": Affine(torch.zeros(CHANNELS, CHANNELS), torch.tensor([1.0, 0, 0, 0])),
        "k": Affine(first, zero),
        "v": Affine(same, zero),
        "proj": Affine(same, zero),
    }
    with Workers(1) as workers:
        return choose_form(block, layers, photo, torch.ones(tokens), workers)


def test_log2_codes_where_one_key_hides_many_others():
    assert choice(tokens=256, distance=7.0) == "log2"


@pytest.mark.parametrize("tokens", [5, 17])
def test_linear_codes_where_few_keys_share_the_weight(tokens):
    assert choice(tokens, distance=0.3) == "linear"
