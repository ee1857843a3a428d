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


def test_find_knows_weight_tags_and_suggests():
    assert find("deit_tiny_patch16_224.fb_in1k").name == "deit_tiny_patch16_224"
    assert find("vit_small_patch16_224").preprocessing.mean == (0.5, 0.5, 0.5)
    dino = find("vit_small_patch16_224.dino")
    assert (dino.tag, dino.preprocessing.mean) == ("dino", (0.485, 0.456, 0.406))
    squash = find("vit_so400m_patch14_siglip_378.webli_ft_in1k").preprocessing
    assert (squash.resize, squash.scaled_size) == ("squash", (378, 378))
    assert find("vit_small_patch14_dinov2_224.lvd142m").tag == "lvd142m"
    with pytest.raises(ModelError, match=r"no weights tagged 'dyno'\. Did you mean 'dino'.*with --mean"):
        find("vit_small_patch16_224.dyno")
    with pytest.raises(ModelError, match="Did you mean 'deit_tiny_patch16_224'"):
        find("deit_tiny_patch16_244")


def test_names_filter_in_natural_order():
    kinds = [
        f"deit_{width}{kind}_patch16_224"
        for width in ("base", "small", "tiny")
        for kind in ("_distilled", "")
    ]
    assert names("deit_*_patch16_224") == kinds
    assert "digits" in names()


def test_image_size():
    config = find("vit_small_patch14_dinov2").config
    assert config.tokens == 1 + 37 * 37
    assert with_image_size(config, 224).tokens == 257
    with pytest.raises(ModelError, match="not a positive multiple"):
        with_image_size(config, 225)
