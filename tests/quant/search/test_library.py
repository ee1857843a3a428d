import pytest
import torch

from p2vit.errors import P2vitError
from p2vit.quant.config import QuantConfig
from p2vit.quant.pipeline import quantize_model, simulate
from p2vit.quant.search.library import build_library


def test_the_widest_candidate_is_the_model_quantized_at_that_width(tiny_model, photos):
    library = build_library(tiny_model.module, [photos], QuantConfig(weight_bits=4), (8, 4), threads=2)
    assert library.widths == (4, 8)
    plain, _ = quantize_model(tiny_model.module, [photos], QuantConfig(weight_bits=8), 2)
    same = library.compose(library.widest)
    assert torch.equal(simulate(same, photos)[0], simulate(plain, photos)[0])


def test_a_candidate_has_the_widths_that_it_was_given(tiny_model, photos):
    library = build_library(tiny_model.module, [photos], QuantConfig(), (3, 4, 8), threads=2)
    mixed = library.compose({"blocks.1.mlp.fc1": 3, "blocks.0.attn.q": 4})
    widths = [layer.bits for block in mixed.blocks for layer in block.layers.values()]
    assert sorted(widths)[:3] == [3, 4, 8]
    assert mixed.blocks[1].layers["fc1"].weight.abs().max() <= 4
    assert library.model.blocks[1].layers["fc1"].bits == 8


@pytest.mark.parametrize("widths", [(), (1, 8), (4, 9)])
def test_widths_are_checked(tiny_model, photos, widths):
    with pytest.raises(P2vitError, match="name one or more of 2 to 8"):
        build_library(tiny_model.module, [photos], QuantConfig(), widths)
