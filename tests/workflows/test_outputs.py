"""``--output`` of quantize: outputs, folders, and what eval, inspect and Python say of feature maps."""

from pathlib import Path

import numpy as np
import pytest

import p2vit
from p2vit.errors import P2vitError
from p2vit.workflows.evaluate import run_eval
from p2vit.workflows.inspect import run_inspect
from p2vit.workflows.outputs import folder_and_outputs
from p2vit.workflows.quantize import run_quantize

pytest.importorskip("torch")
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("dense") / "program"
    run_quantize("digits", "digits", place, outputs=("tokens", "layers=0"), calib_images=16, threads=1)
    return place


@pytest.mark.parametrize(
    ("short", "named", "expected"),
    [
        (Path("out"), (), (Path("out"), ())),
        (None, ("out",), (Path("out"), ())),
        (Path("out"), ("tokens",), (Path("out"), ("tokens",))),
        (None, ("tokens", "out", "layers=1"), (Path("out"), ("tokens", "layers=1"))),
        (Path("tokens"), ("embedding",), (Path("tokens"), ("embedding",))),
        (None, ("./tokens",), (Path("tokens"), ())),
    ],
)
def test_outputs_are_told_from_the_folder(short, named, expected):
    assert folder_and_outputs(short, named) == expected


@pytest.mark.parametrize(
    ("short", "named", "message"),
    [
        (None, (), "the folder for the program is missing: add -o FOLDER"),
        (
            None,
            ("tokens",),
            "the folder for the program is missing: add -o FOLDER (or -o tokens for a folder",
        ),
        (Path("a"), ("token",), "two folders for the program: a and token; give one. Did you mean 'tokens'?"),
        (None, ("a", "b"), "two folders for the program: a and b; give one."),
    ],
)
def test_folders_that_are_missing_or_too_many(short, named, message):
    with pytest.raises(P2vitError) as error:
        folder_and_outputs(short, named)
    assert message in str(error.value)


def test_an_output_that_the_model_lacks_is_refused_before_any_work(tmp_path):
    with pytest.raises(P2vitError, match=r"block 9 of .* cannot be had; allowed: 0 to 2"):
        run_quantize("digits", "no such folder", tmp_path / "out", outputs="layers=9")
    assert not (tmp_path / "out").exists()


def test_inspect_names_every_output(folder):
    found = run_inspect(folder)["outputs"]
    assert [(each["name"], each["kind"], each["shape"]) for each in found] == [
        ("head", "logits", [10]),
        ("feature", "feature", [64]),
        ("layers.0", "map", [4, 4, 64]),
        ("patch_tokens", "map", [4, 4, 64]),
    ]
    assert found[0]["classes"] == [str(digit) for digit in range(10)]


def test_eval_measures_maps_the_same_in_one_batch_or_many(folder):
    once = run_eval(folder, "digits", feature=True, limit=24, threads=1, batch_size=24)
    many = run_eval(folder, "digits", feature=True, limit=24, threads=2, batch_size=5)
    assert once["feature"]["maps"] == many["feature"]["maps"]
    assert [each["name"] for each in once["feature"]["maps"]] == ["layers.0", "patch_tokens"]
    for each in once["feature"]["maps"]:
        assert each["sqnr_db"] > 25
        assert 0.9 < each["cosine_min"] <= each["cosine_mean"] <= 1
    assert run_eval(folder, "digits", limit=4, threads=1)["feature"] is None


def test_eval_agrees_with_a_measurement_of_its_own(folder):
    import torch

    from p2vit.data.benchmarks import open_photos
    from p2vit.models.registry import load_model

    q = p2vit.load(folder)
    pixels = np.concatenate([each for each, _ in open_photos("digits", q.preprocessing).evaluation(limit=20)])
    exact = load_model("digits").module.feature_maps(torch.from_numpy(pixels), [2])[2].numpy()
    ours = q.tokens(pixels, prepared=True)
    assert ours.stored.shape == (20, 4, 4, 64)
    noise = ((ours.real.reshape(exact.shape) - exact) ** 2).sum()
    measured = run_eval(folder, "digits", feature=True, limit=20, threads=1)["feature"]["maps"][1]
    assert measured["sqnr_db"] == pytest.approx(10 * np.log10((exact**2).sum() / noise), abs=0.02)


def test_without_a_float_model_there_are_no_figures(folder):
    found = run_eval(folder, "digits", feature=True, limit=8, threads=1, no_float=True)
    assert all(each["sqnr_db"] is None for each in found["feature"]["maps"])


def test_python_says_what_is_missing():
    q = p2vit.quantize("digits", "digits", calib_images=8, threads=1, progress=False)
    for call in (q.tokens, q.feature_maps):
        with pytest.raises(P2vitError, match=r"no feature maps; .* --output tokens"):
            call(np.zeros((8, 8, 3), np.uint8))
    layers = p2vit.quantize("digits", "digits", outputs="layers=1", calib_images=8, progress=False)
    with pytest.raises(P2vitError, match=r"no feature map 'patch_tokens'.* Its maps: layers\.1"):
        layers.tokens(np.zeros((8, 8, 3), np.uint8))
    assert list(layers.feature_maps(np.zeros((8, 8, 3), np.uint8))) == ["layers.1"]
