"""A head on a feature map: the integers against the real linear layer, and every refusal."""

import dataclasses

import numpy as np
import pytest

from p2vit.engine.reference import ReferenceExecutor
from p2vit.engine.registry import open_backend
from p2vit.errors import ProgramError
from p2vit.program.audit import audit
from p2vit.program.format import decode, encode
from p2vit.quant.dense_head import with_dense_head
from support.dense import DENSE, dense_photos, dense_program


def numbers(program, on, outputs=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(outputs, program.tensors[on].shape[-1])), rng.normal(size=outputs)


@pytest.mark.parametrize("name", DENSE)
def test_the_head_is_the_linear_layer_to_its_rounding(name):
    program, pixels = dense_program(name), dense_photos(name, 3)
    on = program.maps[-1].name
    weight, bias = numbers(program, on)
    made = with_dense_head(program, weight, bias, on=on, name="mask", classes=("a", "b", "c"))
    run = ReferenceExecutor(made).run(pixels)
    wanted = program.tensors[on].real(run[on]) @ weight.T + bias
    found = made.tensors["mask"].real(run["mask"])
    assert np.abs(found - wanted).max() < 0.04 * np.abs(wanted).max()
    assert len(np.unique(made.tensors["mask"].exponent)) == 1
    assert made.feature_map("mask").spatial(run["mask"]).shape == (3, *made.maps[-1].grid, 3)
    assert audit(made).passed
    assert decode(*encode(made), "here").maps == made.maps
    assert program.maps == made.maps[:-1]


@pytest.mark.parametrize("backend", ["native", "torch", "onnx"])
def test_the_head_runs_on_every_backend(backend):
    program, pixels = dense_program("registers"), dense_photos("registers")
    weight, bias = numbers(program, "patch_tokens", outputs=1)
    made = with_dense_head(program, weight, bias, on="patch_tokens", name="mask")
    expected = ReferenceExecutor(made).run(pixels)
    assert np.array_equal(open_backend(backend, made, 1)[1].run(pixels)["mask"], expected["mask"])


def test_weights_of_zeros_give_the_bias():
    program, pixels = dense_program("registers"), dense_photos("registers")
    channels = program.tensors["patch_tokens"].shape[-1]
    made = with_dense_head(program, np.zeros((2, channels)), [3, -4], on="patch_tokens", name="mask")
    assert (ReferenceExecutor(made).run(pixels)["mask"] == [3, -4]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"on": "patch_token"}, "no feature map 'patch_token'. Did you mean 'patch_tokens'?"),
        ({"weight": np.zeros((2, 7))}, "have shape [2, 7]; expected [outputs, 24]"),
        ({"weight": np.zeros(24)}, "have shape [24]; expected [outputs, 24]"),
        ({"weight": "many"}, "are no numbers"),
        ({"weight": np.full((1, 24), np.nan)}, "NaN or infinite"),
        ({"bias": [1, 2]}, "there are 2 biases for 1 outputs"),
        ({"bias": [1e30]}, "too large beside its weights"),
        ({"name": "head"}, "cannot be called 'head': the program has a tensor of that name"),
        ({"name": "logits"}, "is called 'logits'; its name must differ"),
        ({"name": "a b"}, "does not fit: node 'a b'"),
        ({"classes": ("a", "b")}, "has 2 classes and 1 channels"),
    ],
)
def test_heads_that_cannot_be(changes, message):
    program = dense_program("registers")
    given = {"weight": np.ones((1, 24)), "bias": None, "on": "patch_tokens", "name": "mask", **changes}
    with pytest.raises(ProgramError) as error:
        with_dense_head(program, given.pop("weight"), given.pop("bias"), **given)
    assert message in str(error.value)


def test_a_program_without_maps_says_how_to_get_them():
    program = dataclasses.replace(dense_program("registers"), maps=())
    with pytest.raises(ProgramError, match=r"no feature maps; .* --output tokens"):
        with_dense_head(program, np.ones((1, 24)), on="patch_tokens", name="mask")


def test_a_head_on_a_head_is_refused():
    program = dense_program("registers")
    made = with_dense_head(program, np.ones((1, 24)), on="patch_tokens", name="mask")
    with pytest.raises(ProgramError, match="'mask' is int32: a head reads a map of patch tokens"):
        with_dense_head(made, np.ones((1, 1)), on="mask", name="again")
