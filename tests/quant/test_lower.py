"""The integer program agrees with the float32 simulation and passes the audit, for every kind of ViT."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from p2vit.engine.torch.executor import TorchExecutor
from p2vit.program.audit import audit
from p2vit.program.format import load, program_sha256, save
from p2vit.quant.config import METHODS, OURS
from p2vit.quant.lower import lower
from p2vit.quant.pipeline import quantize_model
from p2vit.quant.sensitivity import sqnr_db
from support.tiny import float_model

KINDS = {
    "class token": {},
    "head dim 16, an exact square root": {"embed_dim": 32, "heads": 2},
    "average of the patches after the norm": {"class_token": False, "pool": "avg"},
    "average before the norm": {"pool": "avg", "pool_before_norm": True},
    "registers": {"register_tokens": 3},
    "class token beside the mean": {"pool": "token_avg", "register_tokens": 2},
    "class and distillation token": {"pool": "token_dist", "register_tokens": 1},
    "LayerNorm after the embedding, QuickGELU": {"pre_norm": True, "activation": "quick_gelu"},
    "tanh GELU": {"activation": "gelu_tanh"},
    "no head": {"num_classes": 0},
    "one block": {"depth": 1},
}
CONFIGS = {
    "ours": OURS,
    "log2 softmax": METHODS["p2vit-log2"],
    "8-bit residual stream": METHODS["p2vit-residual8"],
    "four bits": replace(OURS, weight_bits=4),
    "symmetric GELU, one exponent per tensor": replace(
        OURS,
        gelu_offset=False,
        channel_exponents=False,
        smoothing="none",
        separate_qkv=False,
        criterion="range",
    ),
}


def both(model, photos, config):
    quantized, _ = quantize_model(model.module, [photos], config, 2)
    program = lower(quantized, model.preprocessing)
    run = TorchExecutor(program).run(photos)
    with torch.inference_mode():
        logits, feature = quantized.logits(torch.from_numpy(photos))
    real = {name: program.tensors[name].real(run[name]).reshape(len(photos), -1) for name in run}
    return program, real[program.output], real[program.feature], logits.numpy(), feature.numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_program_equals_simulation(kind, photos):
    model = float_model(**KINDS[kind])
    program, logits, feature, wanted_logits, wanted_feature = both(model, photos, OURS)
    # LayerNorm, softmax and the last affine operator round in the program, but are float32 in the simulation.
    assert sqnr_db(wanted_feature, feature) > 27
    assert sqnr_db(wanted_logits, logits) > 27
    report = audit(program)
    assert report.passed, report.problems
    assert (report.float_ops, report.non_pot_scales) == (0, 0)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_integer_method_lowers(name, photos, tmp_path):
    model = float_model()
    program, _, feature, _, wanted = both(model, photos, CONFIGS[name])
    assert sqnr_db(wanted, feature) > (20 if name == "log2 softmax" else 24)
    assert audit(program).passed
    save(program, tmp_path / "program")
    assert program_sha256(load(tmp_path / "program")) == program_sha256(program)


def test_integers_follow_the_float_model(photos):
    model = float_model()
    _, _, feature, _, _ = both(model, photos, OURS)
    with torch.inference_mode():
        exact = model.module.features(torch.from_numpy(photos)).numpy()
    assert sqnr_db(exact, feature) > 24


def test_scales_that_are_no_powers_of_two_are_refused(photos):
    model = float_model()
    quantized, _ = quantize_model(model.module, [photos], METHODS["p2vit-float-scales"], 2)
    with pytest.raises(ValueError, match="a scale is not a power of two"):
        lower(quantized, model.preprocessing)


def test_many_tokens_take_a_smaller_guard():
    model = float_model(image_size=(96, 96), depth=1, embed_dim=16, heads=2, mlp_dim=16)
    photos = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    quantized, _ = quantize_model(model.module, [photos], METHODS["p2vit-log2"], 2)
    program = lower(quantized, model.preprocessing)
    assert program.node("blocks.0.attn.values").operator.guard == 14
    assert audit(program).passed
