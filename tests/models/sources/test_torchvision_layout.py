"""torchvision's ViT and Swin, held to torchvision's own modules."""

import pytest
import torch
from safetensors.torch import save_file

from p2vit.errors import ModelError
from p2vit.models.registry import load_model
from support.tiny import smooth_photos
from support.wrappers import plain


@pytest.fixture(scope="module")
def models(torchvision_operators):
    return pytest.importorskip("torchvision.models")


def noisy(model, seed=0):
    """Random values everywhere, also where torchvision starts from zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.add_(
                0.1 * torch.randn(value.shape, generator=generator) if value.ndim < 2 or "head" in name else 0
            )
    return model.eval()


def saved(model, folder):
    path = folder / "tv.safetensors"
    save_file(plain(model.state_dict()), path)
    return path


def difference(loaded, model):
    height, width = loaded.config.image_size
    pixels = torch.from_numpy(smooth_photos((height, width), 2))
    mean, std = torch.tensor(loaded.preprocessing.mean), torch.tensor(loaded.preprocessing.std)
    with torch.inference_mode():
        want = model(((pixels / 255 - mean) / std).permute(0, 3, 1, 2))
        return (loaded.module(pixels) - want).abs().max().item() / want.abs().max().item()


@pytest.mark.parametrize(
    ("width", "heads", "patch", "size"), [(128, 2, 8, 32), (192, 3, 16, 48), (64, 1, 4, 16)]
)
def test_a_vit_without_an_architecture(models, tmp_path, width, heads, patch, size):
    model = noisy(models.VisionTransformer(size, patch, 3, heads, width, 2 * width, num_classes=7))
    loaded = load_model(saved(model, tmp_path))
    assert difference(loaded, model) < 1e-5
    config = loaded.config
    assert (config.image_size, config.heads, config.depth, config.num_classes) == ((size, size), heads, 3, 7)
    assert f"assumed {heads} attention heads of 64 channels" in loaded.notes[0]
    assert "--heads" in loaded.notes[0]
    assert loaded.preprocessing.interpolation == "bilinear"
    assert loaded.preprocessing.mean == (0.485, 0.456, 0.406)


def test_the_number_of_heads_is_stated(models, tmp_path):
    model = noisy(models.VisionTransformer(32, 8, 2, 4, 96, 192, num_classes=3))
    path = saved(model, tmp_path)
    with pytest.raises(
        ModelError, match=r"do not state the number of attention heads, and 96 channels.*--heads"
    ):
        load_model(path)
    loaded = load_model(path, heads=4)
    assert difference(loaded, model) < 1e-5
    assert not any("assumed" in note for note in loaded.notes)
    with pytest.raises(ModelError, match="embed_dim 96 does not divide into 5 heads"):
        load_model(path, heads=5)


def test_names_of_older_releases(models, tmp_path):
    model = noisy(models.VisionTransformer(16, 8, 2, 1, 64, 96, num_classes=3))
    state = {
        name.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): value
        for name, value in model.state_dict().items()
    }
    torch.save({"model": state}, tmp_path / "old.pth")
    assert difference(load_model(tmp_path / "old.pth"), model) < 1e-5


def test_a_hidden_layer_before_the_head_is_named(models, tmp_path):
    model = models.VisionTransformer(16, 8, 1, 1, 64, 96, num_classes=3, representation_size=64)
    with pytest.raises(ModelError, match="representation_size"):
        load_model(saved(model, tmp_path))


@pytest.mark.parametrize("size", [64, 56, 96, 32])
def test_a_swin(models, tmp_path, size):
    """Grids of whole windows, of padded ones, and smaller than a window."""
    model = noisy(models.SwinTransformer([4, 4], 32, [2, 2], [1, 2], [4, 4], num_classes=5))
    loaded = load_model(saved(model, tmp_path), image_size=size)
    assert difference(loaded, model) < 1e-5
    assert loaded.config.rule == "torchvision"


def test_a_swin_whose_last_grid_is_smaller_than_a_window(models, tmp_path):
    model = noisy(models.SwinTransformer([4, 4], 32, [2, 2, 2], [1, 2, 4], [5, 5], num_classes=5))
    loaded = load_model(saved(model, tmp_path), image_size=(48, 64))
    assert difference(loaded, model) < 1e-5


def test_a_swin_v2_is_refused(models, tmp_path):
    block, merging = models.swin_transformer.SwinTransformerBlockV2, models.swin_transformer.PatchMergingV2
    model = models.SwinTransformer([4, 4], 32, [2, 2], [1, 2], [4, 4], block=block, downsample_layer=merging)
    with pytest.raises(ModelError, match=r"not a ViT in a known layout.*Swin V2"):
        load_model(saved(model, tmp_path))
