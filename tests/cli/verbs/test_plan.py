"""The dry run names the layers as the program will, for every kind of model."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from p2vit.numerics import Linear
from p2vit.quant.api import quantize
from p2vit.quant.config import OURS
from p2vit.workflows.quantize import plan
from support.tiny import config, model_of, smooth_photos, swin_config

SHAPES = {
    "ViT": config(),
    "Swin": swin_config(),
    "SigLIP": config(class_token=False, pool="attention", num_classes=0),
}


@pytest.mark.parametrize("name", SHAPES)
def test_layers_have_the_names_and_sizes_of_the_program(name):
    model = model_of(SHAPES[name])
    planned = {layer["name"]: layer["shape"] for layer in plan(model, OURS, 4, Path("out"))["layers"]}
    photos = smooth_photos(model.config.image_size, 4)
    program = quantize(model, [photos], OURS, threads=1).program
    linears = {n.name: list(n.operator.weight.shape) for n in program.of_kind(Linear)}
    assert planned == linears
