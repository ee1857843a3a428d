"""The comparison with the original library finds what is wrong, says what differs, and stops nobody otherwise."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from p2vit.errors import ModelError  # noqa: E402
from p2vit.models.check import ALLOWED, check_against_original, check_photos  # noqa: E402
from p2vit.models.loaded import Original  # noqa: E402
from p2vit.models.registry import load_model  # noqa: E402
from p2vit.models.sources.timm_source import from_timm_model  # noqa: E402
from p2vit.program.preprocessing import Preprocessing  # noqa: E402

SMALL = {"img_size": 32, "depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 5}


@pytest.fixture
def model(timm):
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", pretrained=False, **SMALL)
    with torch.no_grad():
        for value in vit.parameters():
            value.add_(0.05 * torch.randn(value.shape))
    return from_timm_model(vit.eval(), "vit_tiny_patch16_224")


def test_photos_are_neither_square_nor_grey_and_the_same_everywhere():
    pre = Preprocessing(image_size=(32, 48))
    for photo, again in zip(check_photos(pre), check_photos(pre), strict=True):
        pixels = np.asarray(photo)
        assert photo.width != photo.height
        assert min(photo.size) > 32
        assert pixels.astype(int).std() > 15
        assert np.abs(pixels[..., 0].astype(int) - pixels[..., 1]).mean() > 5
        np.testing.assert_array_equal(pixels, np.asarray(again))
    assert {photo.size for photo in check_photos(Preprocessing(image_size=(32, 48), resize="none"))} == {
        (48, 32)
    }


def test_the_same_model_passes_and_the_figure_is_kept(timm, model):
    found = check_against_original(model)
    assert found.checked is not None
    assert found.original is None
    assert found.checked.library == f"timm {timm.__version__}"
    assert found.checked.difference < ALLOWED
    assert found.checked.pixels
    assert found.record["checked"]["photos"] == 2


@pytest.mark.parametrize("raised", [AssertionError, IndexError, TypeError, ValueError])
def test_an_original_that_refuses_the_photo_is_a_network_that_differs(model, raised):
    def forward(photo):
        raise raised("Wrong image width! Expected 8 but got 200!")

    changed = replace(model, original=Original("timm", lambda options: (forward, None)))
    with pytest.raises(
        ModelError, match=r"the networks differ: it refuses the photo .Wrong image width!.*--no-check"
    ):
        check_against_original(changed)


def test_another_network_is_refused(model):
    with torch.no_grad():
        model.module.blocks[1].fc1.weight[:8] += 0.05
    with pytest.raises(
        ModelError,
        match=r"what timm .* on the same pixels outputs differ .*: the networks differ.*--no-check",
    ):
        check_against_original(model)


@pytest.mark.parametrize(
    "change",
    [{"mean": (0.4, 0.5, 0.5)}, {"crop_pct": 1.0}, {"interpolation": "bilinear"}, {"resize": "squash"}],
    ids=str,
)
def test_another_preparation_is_refused(model, change):
    pre = model.preprocessing.model_copy(update=change)
    model.module.mean.copy_(torch.tensor(pre.mean))
    with pytest.raises(ModelError, match=r"the pixels differ, by up to \d+ grey levels.*--mean, --std"):
        check_against_original(replace(model, preprocessing=pre))


def test_a_library_that_is_not_there_is_a_note(model, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    found = check_against_original(model)
    assert found.checked is None
    assert found.notes[-1].startswith("timm is not installed, so the float model was not compared") or (
        "cannot be imported" in found.notes[-1]
    )


def test_weights_that_the_library_does_not_take_are_a_note(model):
    def build(options):
        raise RuntimeError("size mismatch\nand more")

    found = check_against_original(replace(model, original=Original("timm", build)))
    assert found.notes[-1] == "not compared with the original library's model (timm: size mismatch)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "changes", "options"),
    [
        ("vit_tiny_patch16_224", {}, {}),
        ("vit_tiny_patch16_224", {"global_pool": "avg"}, {}),
        ("vit_tiny_patch16_224", {"global_pool": "avg", "fc_norm": False}, {"pool": "avg"}),
        ("vit_tiny_patch16_224", {"img_size": 160}, {}),
        ("vit_tiny_patch16_224", {}, {"image_size": 192, "crop_mode": "squash", "crop_pct": 0.9}),
        ("deit_tiny_distilled_patch16_224", {}, {}),
        ("swin_tiny_patch4_window7_224", {}, {}),
        ("beit_base_patch16_224", {}, {}),
        ("beitv2_base_patch16_224", {}, {"image_size": (192, 256)}),
    ],
)
def test_files_of_whole_architectures(timm, tmp_path, arch, changes, options):
    state = timm.create_model(arch, pretrained=False, num_classes=5, **changes).state_dict()
    torch.save(state, tmp_path / "a.pth")
    found = load_model(tmp_path / "a.pth", arch=arch, **options)
    assert found.checked is not None, found.notes
    assert found.checked.pixels


def test_no_check_goes_on(timm, tmp_path):
    state = timm.create_model(
        "vit_tiny_patch16_224", pretrained=False, num_classes=5, global_pool="avg", fc_norm=False
    )
    torch.save(state.state_dict(), tmp_path / "a.pth")
    found = load_model(tmp_path / "a.pth", arch="vit_tiny_patch16_224", check=False)
    assert found.checked is None
    assert found.original is None
    assert any(
        "assumed that the head reads the class token" in note and "--pool avg" in note for note in found.notes
    )
