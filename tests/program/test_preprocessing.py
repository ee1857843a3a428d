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
        {"interpolation": "sharp"},
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


def test_later_fields_are_written_only_where_they_say_something():
    assert set(Preprocessing().model_dump()) == {
        "image_size", "resize", "crop_pct", "interpolation", "rounding", "mean", "std",
    }  # fmt: skip
    pre = Preprocessing(scale_to=(256, 256), convention="transformers")
    assert pre.model_dump()["scale_to"] == (256, 256)
    assert Preprocessing.model_validate_json(pre.model_dump_json()) == pre


def test_another_size_keeps_the_share_of_the_crop():
    pre = Preprocessing(scale_to=(256, 256), convention="transformers").for_size((112, 224))
    assert (pre.image_size, pre.scaled_size, pre.convention) == ((112, 224), (128, 256), "transformers")


@pytest.mark.parametrize(
    ("pre", "words"),
    [
        (Preprocessing(), "224 × 224; resized to that whatever the shape, bilinear"),
        (
            Preprocessing(resize="crop", crop_pct=0.875, interpolation="bicubic"),
            "224 × 224; resized to cover 256 × 256, bicubic, then its centre",
        ),
        (
            Preprocessing(scale_to=(256, 256)),
            "224 × 224; resized to 256 × 256 whatever the shape, bilinear, then its centre",
        ),
        (Preprocessing(resize="cut"), "224 × 224; not resized, its centre"),
        (Preprocessing(resize="none"), "224 × 224; not resized: photos of other sizes are refused"),
    ],
)
def test_in_words(pre, words):
    assert pre.in_words == words
