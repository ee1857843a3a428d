import pytest

from p2vit.errors import ModelError
from p2vit.models.architectures import find, macs, names, parameters, with_image_size


@pytest.mark.parametrize(
    ("name", "million", "giga"),
    [  # published: parameters; MACs as timm's benchmark table counts them
        ("deit_tiny_patch16_224", 5.72, 1.26),
        ("deit_small_patch16_224", 22.05, 4.61),
        ("vit_base_patch16_224", 86.57, 17.58),
        ("vit_base_patch32_224", 88.22, 4.41),
        ("vit_large_patch16_224", 304.33, 61.6),
    ],
)
def test_sizes(name, million, giga):
    config = find(name).config
    assert parameters(config) / 1e6 == pytest.approx(million, rel=2e-3)
    assert macs(config) / 1e9 == pytest.approx(giga, rel=2e-2)


def test_parameters_count_the_module():
    from p2vit.models.canonical import CanonicalViT

    for name in ("digits", "vit_small_patch14_reg4_dinov2_224"):
        config = find(name).config
        assert parameters(config) == sum(p.numel() for p in CanonicalViT(config).parameters())


def test_find_ignores_weight_tags_and_suggests():
    assert find("deit_tiny_patch16_224.fb_in1k").name == "deit_tiny_patch16_224"
    with pytest.raises(ModelError, match="Did you mean 'deit_tiny_patch16_224'"):
        find("deit_tiny_patch16_244")


def test_names_filter_in_natural_order():
    assert names("deit_*_patch16_224") == [f"deit_{w}_patch16_224" for w in ("base", "small", "tiny")]
    assert "digits" in names()


def test_image_size():
    config = find("vit_small_patch14_dinov2").config
    assert config.tokens == 1 + 37 * 37
    assert with_image_size(config, 224).tokens == 257
    with pytest.raises(ModelError, match="not a positive multiple"):
        with_image_size(config, 225)
