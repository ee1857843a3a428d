import pytest
from pydantic import ValidationError

from p2vit.program.preprocessing import Preprocessing


def test_json_round_trip():
    pre = Preprocessing(
        image_size=(96, 128), resize="crop", crop_pct=0.9, interpolation="bicubic", rounding="once"
    )
    assert Preprocessing.model_validate_json(pre.model_dump_json()) == pre


def test_frozen_and_hashable():
    pre = Preprocessing()
    assert hash(pre) == hash(Preprocessing())
    with pytest.raises(ValidationError):
        pre.crop_pct = 0.5


@pytest.mark.parametrize(
    "field",
    [
        {"image_size": (0, 224)},
        {"crop_pct": 0.0},
        {"crop_pct": 1.5},
        {"std": (0.2, 0.0, 0.2)},
        {"mean": (float("nan"), 0, 0)},
        {"interpolation": "lanczos"},
        {"colour": "rgb"},
    ],
)
def test_refuses_what_makes_no_sense(field):
    with pytest.raises(ValidationError, match=next(iter(field))):
        Preprocessing(**field)


@pytest.mark.parametrize(
    ("side", "pct", "scaled"), [(224, 0.9, 248), (224, 0.875, 256), (518, 518 / 592, 592)]
)
def test_scaled_size_rounds_down_as_published_pipelines_do(side, pct, scaled):
    assert Preprocessing(image_size=(side, side), resize="crop", crop_pct=pct).scaled_size == (scaled, scaled)


def test_squash_scales_straight_to_the_size():
    assert Preprocessing(crop_pct=0.5).scaled_size == (224, 224)
