import pytest

from p2vit.models.swin_config import SwinConfig
from p2vit.models.windows import Windows
from support.tiny import swin_config


def test_stages_of_the_published_model():
    config = SwinConfig("t", 96, (2, 2, 6, 2), (3, 6, 12, 24))
    assert [config.stage_grid(stage) for stage in range(4)] == [(56, 56), (28, 28), (14, 14), (7, 7)]
    assert (config.feature_dim, config.pooled_tokens, config.depth) == (768, 49, 12)
    merges = [index for index, shape in enumerate(config.blocks) if shape.merge is not None]
    assert merges == [2, 4, 10]
    assert [shape.windows.shift for shape in config.blocks][:4] == [(0, 0), (3, 3), (0, 0), (3, 3)]
    assert [shape.windows.shift for shape in config.blocks][-1] == (0, 0)  # one window holds the whole grid
    assert {shape.head_dim for shape in config.blocks} == {32}


def test_odd_grids_are_rounded_up():
    config = swin_config(image_size=(20, 28))
    assert [config.stage_grid(stage) for stage in range(2)] == [(5, 7), (3, 4)]


def test_windows_shrink_by_each_library_s_rule():
    narrow = swin_config(image_size=(16, 64), window=7, depths=(2,), heads=(2,))
    assert narrow.blocks[1].windows == Windows((4, 16), (4, 7), (0, 3))
    square = swin_config(image_size=(28, 64), window=7, depths=(2,), heads=(2,), rule="transformers")
    assert square.blocks[1].windows == Windows((7, 16), (7, 7), (0, 0), pad_first=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": (42, 56)}, "image height 42 is not a positive multiple of patch_size 4"),
        ({"heads": (3, 4)}, "16 channels do not divide into 3 heads"),
        ({"heads": (2,)}, "must be one per stage"),
        ({"window": ((3, 3),)}, "1 windows for 2 stages"),
        (
            {"window": 7, "rule": "transformers", "image_size": (24, 56)},
            "transformers' own Swin cannot run that",
        ),
    ],
)
def test_impossible_shapes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        swin_config(**changes)
