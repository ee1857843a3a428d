import numpy as np
import pytest

pytest.importorskip("torch")

from p2vit.errors import ModelError
from p2vit.models.registry import load_model
from p2vit.program.format import load
from p2vit.workflows.float_model import float_predict, reload_float


def test_the_recorded_model_comes_back(digits_program):
    program = load(digits_program)
    assert reload_float(program).sha256 == load_model("digits").sha256


def test_predictions(digits_program):
    model = load_model("digits")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    logits, features = float_predict(model)(pixels)
    assert (logits.shape, features.shape) == ((3, 10), (3, 64))


def test_no_source_is_an_error(digits_program):
    program = load(digits_program)
    program.provenance.clear()
    with pytest.raises(ModelError, match="does not say what model it came from; name it with --model"):
        reload_float(program)


def test_another_shape_is_an_error(digits_program):
    with pytest.raises(ModelError, match=r"multiple of patch_size|channels"):
        reload_float(load(digits_program), "random:deit_tiny_patch16_224")
