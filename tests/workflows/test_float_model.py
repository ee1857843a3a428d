import numpy as np
import pytest

pytest.importorskip("torch")

from p2vit.errors import ModelError
from p2vit.models.registry import load_model
from p2vit.program.format import load
from p2vit.workflows.float_model import float_predict, recorded_options, reload_float
from p2vit.workflows.quantize import run_quantize


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
    with pytest.raises(ModelError, match="does not say which model it was made from; name it with --model"):
        reload_float(program)


def test_another_shape_is_an_error(digits_program):
    with pytest.raises(ModelError, match=r"multiple of patch_size|channels"):
        reload_float(load(digits_program), "random:deit_tiny_patch16_224")


def test_what_was_stated_is_remembered(tmp_path):
    stated = {"mean": (0.1, 0.2, 0.3), "crop_pct": 0.8, "crop_mode": "center", "interpolation": "bicubic"}
    result = run_quantize("digits", "digits", tmp_path / "out", calib_images=8, **stated)
    assert result["preprocessing"]["mean"] == [0.1, 0.2, 0.3]
    assert result["preprocessing"]["source"].endswith("--mean, --crop-pct, --crop-mode, --interpolation")
    program = load(tmp_path / "out")
    assert program.preprocessing.scaled_size == (10, 10)
    again = reload_float(program)
    assert again.preprocessing == program.preprocessing
    assert again.sha256 == program.provenance["weights_sha256"]
    assert recorded_options(program).mean == (0.1, 0.2, 0.3)


def test_damaged_provenance_is_an_error(digits_program):
    program = load(digits_program)
    program.provenance["load"] = {"mean": "grey"}
    with pytest.raises(ModelError, match=r"provenance is damaged: load\.mean"):
        reload_float(program)
    program.provenance["load"] = ["mean"]
    with pytest.raises(ModelError, match="provenance is damaged: 'load' is"):
        reload_float(program)
