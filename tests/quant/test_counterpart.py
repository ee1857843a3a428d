"""The integer program equals its fake-quantized counterpart, on every tensor, for every kind of ViT."""

from dataclasses import replace

import numpy as np
import pytest

from p2vit.engine.torch.executor import TorchExecutor
from p2vit.program.graph import Node
from p2vit.quant.config import METHODS, OURS
from p2vit.quant.counterpart import unequal_tensors
from p2vit.quant.lower import lower
from p2vit.quant.pipeline import quantize_model
from support.tiers import extended
from support.tiny import config, model_of, smooth_photos, swin_config

SHAPES = {
    "class token": config(mlp_dim=128),
    "head dim 16, an exact square root": config(embed_dim=32, heads=2),
    "average after the norm": config(class_token=False, pool="avg"),
    "average before the norm": config(pool="avg", pool_before_norm=True),
    "registers": config(register_tokens=3),
    "class token beside the mean": config(pool="token_avg", register_tokens=2),
    "class and distillation token": config(pool="token_dist", register_tokens=1),
    "CLIP": config(pre_norm=True, activation="quick_gelu", num_classes=7),
    "SigLIP": config(class_token=False, pool="attention", activation="gelu_tanh", num_classes=0),
    "CLIP's embedding": config(pre_norm=True, num_classes=4, embedding_dim=20),
    "SigLIP's embedding": config(class_token=False, pool="attention", num_classes=0, embedding_dim=24),
    "head dim 72": config(embed_dim=144, heads=2, depth=1),
    "Swin, padded and shifted": swin_config(),
    "Swin, transformers' padding": swin_config(rule="transformers"),
    "Swin, whole windows": swin_config(image_size=(32, 32), window=4, embed_dim=32),
}
METHODS_TESTED = {
    "W8A8": OURS,
    "W4A8": replace(OURS, weight_bits=4),
    "log2": METHODS["p2vit-log2"],
    "8-bit stream": METHODS["p2vit-residual8"],
}


def quantized(shape, method):
    photos = smooth_photos(shape.image_size, 4)
    model = model_of(shape)
    simulated, _ = quantize_model(model.module, [photos], method, 1)
    program = lower(simulated, model.preprocessing)
    return simulated, program, photos[:2]


def run(program, photos):
    return TorchExecutor(program).run(photos, [node.name for node in program.nodes])


@pytest.mark.parametrize("method", extended(METHODS_TESTED, quick=["W8A8"]))
@pytest.mark.parametrize("shape", SHAPES)
def test_every_tensor_is_equal(shape, method):
    simulated, program, photos = quantized(SHAPES[shape], METHODS_TESTED[method])
    assert unequal_tensors(simulated, program, run(program, photos), photos) == {}


def test_a_wrong_bias_and_what_follows_from_it_are_found():
    simulated, program, photos = quantized(swin_config(), OURS)
    name = "blocks.3.attn.k"
    operator = program.node(name).operator
    wrong = replace(operator, bias=operator.bias + np.int32(1) * (1 << int(operator.shift.max())))
    nodes = tuple(Node(n.name, wrong, n.inputs) if n.name == name else n for n in program.nodes)
    program = replace(program, nodes=nodes)
    found = unequal_tensors(simulated, program, run(program, photos), photos)
    assert next(iter(found)) == name
    assert "blocks.2.add2" not in found


def test_tensors_of_another_model_are_refused():
    simulated, _, photos = quantized(config(), OURS)
    _, program, _ = quantized(config(depth=1), OURS)
    with pytest.raises(ValueError, match="are in only one of program and counterpart"):
        unequal_tensors(simulated, program, run(program, photos), photos)
