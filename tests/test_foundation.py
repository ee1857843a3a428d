"""A DINOv2 through timm and through transformers is the same program, by its hash."""

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from p2vit.program.format import program_sha256
from p2vit.quant.api import quantize
from p2vit.quant.config import OURS
from support.layouts import through_timm, through_transformers
from support.tiny import float_model, smooth_photos

SHAPE = {"image_size": (28, 28), "patch_size": 7, "num_classes": 0, "mlp_dim": 96}


@pytest.mark.parametrize(("registers", "bits"), [(0, 8), (4, 8), (0, 4)])
def test_both_libraries_give_the_same_program(timm, transformers, tmp_path, registers, bits):
    model = float_model(**SHAPE, register_tokens=registers)
    name = "vit_small_patch14_reg4_dinov2" if registers else "vit_small_patch14_dinov2"
    models = through_timm(timm, model, name), through_transformers(transformers, model, tmp_path)
    photos, method = smooth_photos((28, 28), 4), replace(OURS, weight_bits=bits)
    programs = [quantize(found, [photos], method, threads=1).program for found in models]
    assert program_sha256(programs[0]) == program_sha256(programs[1])
    # The hash would tell a single weight.
    models[0].module.blocks[0].q.weight[0, 0] += 0.5
    changed = quantize(models[0], [photos], method, threads=1).program
    assert program_sha256(changed) != program_sha256(programs[0])
