"""Pixels equal those of transformers' own slow image processors, for every class and every form of every key."""

import json

import numpy as np
import pytest
from PIL import Image

from p2vit.data.preprocess import to_pixels
from p2vit.errors import DataError, ModelError
from p2vit.models.sources.hf_processor import FAST_ONLY, KINDS, preprocessing_from_hf, usual_preprocessing

#: What says which pixels are seen: every form of a size that a file may have.
GEOMETRIES = (
    {},
    {"size": 40},
    {"size": {"height": 40, "width": 56}},
    {"size": [36, 44], "do_center_crop": False},
    {"size": {"shortest_edge": 41}},
    {"size": {"shortest_edge": 41}, "crop_size": {"height": 30, "width": 36}},
    {"size": {"shortest_edge": 400}},
    {"size": {"height": 50, "width": 51}, "crop_size": 32},
    {"size": [30, 40], "crop_size": [22, 50]},
    {"do_resize": False},
    {"do_resize": False, "crop_size": 40},
    {"do_resize": False, "do_center_crop": False},
    {"size": {"longest_edge": 40}},
    {"size": {"shortest_edge": 40, "longest_edge": 60}},
    {"size": {"shortest_edge": 40}, "use_square_size": True},
    {"size": {"shortest_edge": 40}, "crop_pct": 0.8},
)
VALUES = (
    {},
    {"do_normalize": False},
    {"do_rescale": False},
    {"do_rescale": False, "do_normalize": False},
    {"rescale_factor": 1 / 127.5},
    {"image_mean": 0.3, "image_std": [0.2, 0.3, 0.4]},
    {"resample": 0},
    {"resample": 1},
    {"resample": 4},
    {"resample": 5},
)


def photos():
    rng = np.random.default_rng(0)
    sizes = ((61, 83), (97, 50), (48, 48), (20, 33))
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in sizes]


def test_pixels_of_a_fast_processor_differ_by_a_grey_level_at_most(transformers):
    """DINOv3's resizes in float; a program reads whole grey levels."""
    for said in ({}, {"size": {"height": 48, "width": 32}}):
        own = transformers.DINOv3ViTImageProcessorFast(**said)
        content = {**said, "image_processor_type": "DINOv3ViTImageProcessorFast"}
        for photo in photos():
            pre = preprocessing_from_hf(content, "dinov3_vit", (224, 224), "here")
            want = own(photo, return_tensors="pt")["pixel_values"][0].numpy()
            levels = (want.transpose(1, 2, 0) * np.array(pre.std) + np.array(pre.mean)) * 255
            assert np.abs(levels - to_pixels(photo, pre)).max() < 1.05


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(FAST_ONLY)))
def test_pixels_equal_the_slow_processors(transformers, kind):
    compared, refused = 0, set()
    for geometry in GEOMETRIES:
        for values in VALUES if geometry == {} else VALUES[:1]:
            said = {**geometry, **values}
            own = getattr(transformers, kind)(**said)
            content = json.loads(json.dumps({**said, "image_processor_type": kind}))
            for photo in photos():
                try:
                    pre = preprocessing_from_hf(content, "vit", (photo.height, photo.width), "here")
                    pixels = to_pixels(photo, pre)
                except (ModelError, DataError):
                    refused.add(json.dumps(said))
                    continue
                want = own(photo, return_tensors="np")["pixel_values"][0]
                got = ((pixels / 255 - np.array(pre.mean)) / np.array(pre.std)).transpose(2, 0, 1)
                assert got.shape == want.shape, said
                # Half a grey level is 2e-3 at least; float32 is a thousandth of that.
                assert np.abs(got - want).max() < 1e-5 * max(1, np.abs(want).max()), said
                compared += 1
    assert compared >= 50
    # What no slow processor knows, or two kinds know differently, is refused and not guessed.
    assert json.dumps({"size": {"longest_edge": 40}}) in refused


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"size": {"longest_edge": 40}}, r"preprocessor_config\.json: size \{'longest_edge': 40\}"),
        ({"offset": True}, "'offset' is True, but BitImageProcessor does not read this key"),
        ({"do_pad": True}, "'do_pad' is True"),
        ({"image_std": [1, 0, 1]}, "image_std .* must be above 0"),
        ({"image_mean": "grey"}, "image_mean 'grey' must be three numbers"),
        ({"rescale_factor": 0}, "rescale_factor 0 must be a number above 0"),
        ({"resample": 9}, "resample 9 is not supported"),
        ({"do_resize": "yes"}, "do_resize 'yes' must be true or false"),
        ({"size": {"shortest_edge": 0}}, "size: 0 is not a number of pixels"),
        ({"size": {"shortest_edge": 1 << 30}}, "is not a number of pixels from 1 to 16384"),
        ({"do_center_crop": False}, "without do_center_crop makes photos of different shapes.*--crop-mode"),
        (
            {"image_processor_type": "DetrImageProcessor"},
            "image processor 'DetrImageProcessor' is not supported",
        ),
        ({"auto_map": {"AutoImageProcessor": "x.Y"}}, "with code of its own is not supported"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(said, message):
    content = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 40}, **said}
    with pytest.raises(ModelError, match=message):
        preprocessing_from_hf(content, "dinov2", (32, 32), "here")


def test_a_crop_that_the_class_does_not_read_is_refused():
    content = {"image_processor_type": "ViTImageProcessorFast", "do_center_crop": True, "crop_size": 32}
    with pytest.raises(
        ModelError, match="'do_center_crop' is True, but ViTImageProcessor does not read this key"
    ):
        preprocessing_from_hf(content, "vit", (32, 32), "here")


def test_old_names_of_the_classes_are_known():
    content = {"feature_extractor_type": "DeiTFeatureExtractor", "size": 40, "crop_size": 32}
    pre = preprocessing_from_hf(content, "deit", (32, 32), "here")
    assert (pre.image_size, pre.scaled_size, pre.resize) == ((32, 32), (40, 40), "squash")


def test_without_a_file_the_usual_values_are_the_familys():
    assert usual_preprocessing("vit", (32, 32)).mean == (0.5, 0.5, 0.5)
    assert usual_preprocessing("dinov2", (28, 28)).mean == (0.485, 0.456, 0.406)
