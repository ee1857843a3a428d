"""Feature maps of every kind of ViT: the program against its counterpart, the float model, and the other back-ends."""

import numpy as np
import pytest
import torch

from p2vit.engine.reference import ReferenceExecutor
from p2vit.errors import ModelError
from p2vit.models.dense import feature_maps
from p2vit.program.audit import audit
from p2vit.program.format import decode, encode, program_sha256
from p2vit.quant.api import quantize
from p2vit.quant.config import OURS
from p2vit.quant.counterpart import unequal_tensors
from p2vit.quant.lower import lower
from p2vit.quant.pipeline import quantize_model
from p2vit.quant.sensitivity import sqnr_db
from support.dense import DENSE
from support.tiers import extended
from support.tiny import config, model_of, smooth_photos, swin_config


def request(name):
    shape, wanted = DENSE[name]
    return model_of(shape), feature_maps(wanted, shape), smooth_photos(shape.image_size, 8)


@pytest.mark.parametrize("name", DENSE)
def test_every_tensor_equals_the_counterpart(name):
    model, maps, photos = request(name)
    simulated, _ = quantize_model(model.module, [photos[:4]], OURS, 1, maps=maps)
    program = lower(simulated, model.preprocessing)
    every = [node.name for node in program.nodes]
    run = ReferenceExecutor(program).run(photos[:2], every)
    assert unequal_tensors(simulated, program, run, photos[:2]) == {}
    assert {each.name for each in program.maps} == {each.name for each in maps}
    assert audit(program).passed


@pytest.mark.parametrize("name", DENSE)
def test_maps_are_close_to_the_float_models(name):
    model, maps, photos = request(name)
    program = quantize(model, [photos[:6]], threads=1, maps=maps).program
    run = ReferenceExecutor(program).run(photos[6:])
    exact = model.module.feature_maps(torch.from_numpy(photos[6:]), [each.layer for each in maps])
    for each in program.maps:
        stored = run[each.name]
        assert stored.dtype == np.int8
        assert each.spatial(stored).shape[1:3] == each.grid
        real = program.tensors[each.name].real(stored)[:, each.first :]
        assert sqnr_db(exact[each.layer].numpy(), real) > 17


@pytest.mark.parametrize("name", extended(DENSE, quick=["registers", "Swin"]))
def test_the_logits_are_still_there(name):
    model, maps, photos = request(name)
    program = quantize(model, [photos], threads=1, maps=maps).program
    plain = quantize(model, [photos], threads=1).program
    assert (program.output, program.feature) == (plain.output, plain.feature)
    assert program.tensors[program.output].shape == plain.tensors[plain.output].shape


def test_files_keep_maps_and_their_hash_counts_them():
    model, maps, photos = request("registers")
    program = quantize(model, [photos], threads=1, maps=maps).program
    again = decode(*encode(program), "here")
    assert again.maps == program.maps
    assert program_sha256(again) == program_sha256(program)
    assert program_sha256(program) != program_sha256(quantize(model, [photos], threads=1).program)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            ["token"],
            "--output 'token' is not understood. Did you mean 'tokens'? Allowed: tokens, layers=I,J,...",
        ),
        (["layers=0,x"], "--output layers=0,x: 'x' is not the number of a block"),
        (["layers="], "--output layers=: '' is not the number of a block"),
        (["layers=2"], "--output layers=2: block 2 of tiny cannot be had; allowed: 0 to 1 (counted from 0)"),
        (["layers=-1"], "--output layers=-1: '-1' is not the number of a block"),
        (["layers=1,1"], "--output: the feature map 'layers.1' is asked for twice"),
        (["tokens", "tokens"], "--output: the feature map 'patch_tokens' is asked for twice"),
    ],
)
def test_outputs_that_cannot_be_had(wanted, message):
    with pytest.raises(ModelError) as error:
        feature_maps(wanted, config())
    assert str(error.value).startswith(message)


def test_outputs_that_a_family_does_not_have():
    with pytest.raises(ModelError, match=r"block 1 of tiny cannot be had; allowed: 2 to 3 .*last stage"):
        feature_maps(["layers=1"], swin_config())
    with pytest.raises(ModelError, match="no normalised patch tokens"):
        feature_maps(["tokens"], config(pool="avg", pool_before_norm=True))
