import torch

from p2vit.models.canonical import activate
from p2vit.quant.attention import attend
from p2vit.quant.fold import fold_block, fold_pixels, normalise
from p2vit.quant.simulated import centred_patches
from support.tiny import float_model


def folded_forward(model, x):
    block, config = model.module.blocks[0], model.config
    folded = fold_block(block)
    layers = {name: lambda v, a=a: v @ a.weight.T + a.bias for name, a in folded.layers.items()}
    n = normalise(x, config.norm_eps)
    mixed = attend(layers["q"](n), layers["k"](n), layers["v"](n), config.heads, folded.score_exponent, None)
    x = x + layers["proj"](mixed)
    return x + layers["fc2"](activate(layers["fc1"](normalise(x, config.norm_eps)), config.activation))


def test_folds_are_exact_where_the_head_dim_is_no_square_of_a_power_of_two():
    model = float_model()
    x = torch.randn(2, model.config.tokens, 24)
    assert fold_block(model.module.blocks[0]).score_exponent == 0
    torch.testing.assert_close(folded_forward(model, x), model.module.blocks[0](x), rtol=1e-4, atol=1e-4)


def test_folds_are_exact_where_it_is():
    model = float_model(embed_dim=48, heads=3)
    x = torch.randn(2, model.config.tokens, 48)
    assert fold_block(model.module.blocks[0]).score_exponent == -2
    torch.testing.assert_close(folded_forward(model, x), model.module.blocks[0](x), rtol=1e-4, atol=1e-4)


def test_pixels_fold_into_the_patch_embedding(photos):
    model = float_model()
    pixels = torch.from_numpy(photos)
    folded = fold_pixels(model.module)
    ours = centred_patches(pixels, 4) @ folded.weight.T + folded.bias
    torch.testing.assert_close(
        ours, model.module.patch_embed(model.module.patches(pixels)), rtol=1e-4, atol=1e-4
    )
