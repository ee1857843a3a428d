"""The attention pooling head is quantized as accurately as a block, with 8-bit and 4-bit weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from p2vit.quant.attention import attend
from p2vit.quant.config import OURS
from p2vit.quant.fold import fold_pool, normalise
from p2vit.quant.lower import lower
from p2vit.quant.pipeline import quantize_model
from p2vit.quant.sensitivity import sqnr_db
from support.tiny import float_model, smooth_photos


@pytest.fixture
def model():
    return float_model(class_token=False, pool="attention", num_classes=0, image_size=(16, 24))


def test_folds_are_exact(model):
    pool, x = model.module.attention_pool, torch.randn(2, 24, 24)
    folded = fold_pool(pool, model.module.norm)
    n = normalise(x, model.config.norm_eps)
    k, v = (n @ folded.layers[name].weight.T + folded.layers[name].bias for name in "kv")
    mixed = attend(folded.fills["q"].expand(2, 1, -1), k, v, 3, folded.score_exponent, None)
    y = mixed @ folded.layers["proj"].weight.T + folded.layers["proj"].bias
    torch.testing.assert_close(y, pool.attention(model.module.norm(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("bits", "least"), [(8, 30), (4, 20)])
def test_its_own_error_is_small(model, bits, least):
    photos = smooth_photos((16, 24))
    quantized, _ = quantize_model(model.module, [photos], replace(OURS, weight_bits=bits), 1)
    with torch.inference_mode():
        x = quantized.embed(torch.from_numpy(photos))
        for block in quantized.blocks:
            x = block(x)
        exact = model.module.attention_pool(model.module.norm(x))
        assert sqnr_db(exact, quantized.pooling(x)) > least


def test_the_query_is_a_constant_of_the_program(model):
    photos = smooth_photos((16, 24))
    quantized, _ = quantize_model(model.module, [photos], OURS, 1)
    program = lower(quantized, model.preprocessing)
    spec = program.tensors["pool.attn.q"]
    stored = program.node("pool.attn.q").operator.tokens
    query = fold_pool(model.module.attention_pool, model.module.norm).fills["q"].numpy()
    step = 2.0 ** spec.exponent.astype(float)
    assert np.all(np.abs(spec.real(stored)[0] - query) <= 0.5 * step + 1e-6)
    assert program.tensors[program.feature].shape == (1, 24)
