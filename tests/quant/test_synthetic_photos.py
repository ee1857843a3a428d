import numpy as np
import torch

from p2vit.quant.config import METHODS, OURS, QuantConfig
from p2vit.quant.pipeline import quantize_model
from p2vit.quant.synthetic_photos import synthetic_photos


def test_synthetic_photos_are_always_the_same():
    photos, again = (np.concatenate(list(synthetic_photos((16, 24), 9))) for _ in range(2))
    assert photos.shape == (9, 16, 24, 3)
    assert np.array_equal(photos, again)
    assert list(synthetic_photos((16, 24), 0)) == []


def clipped_share(tiny_model, photos, seen, **fields) -> float:
    """Quantize on some photos, and return the share of the first attention output that others saturate."""
    quantized, count = quantize_model(tiny_model.module, [photos], QuantConfig(balance=False, **fields), 2)
    assert count == len(photos)
    block = quantized.blocks[0]
    values, grid = block.values(quantized.embed(torch.from_numpy(seen))), block.grids["values"]
    return float((values.abs() > 127.5 * grid.scale).float().mean())


def test_a_program_of_grey_photos_has_room_for_coloured_ones(tiny_model):
    size = tiny_model.config.image_size
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.integers(100, 120, (6, *size, 1)), 3, axis=-1).astype(np.uint8)
    coloured = rng.integers(0, 256, (64, *size, 3), dtype=np.uint8)
    alone = clipped_share(tiny_model, grey, coloured, guard_photos=0, range_photos=0)
    assert clipped_share(tiny_model, grey, coloured, guard_photos=8, range_photos=0) < alone / 2
    assert clipped_share(tiny_model, grey, coloured, guard_photos=0, range_photos=64) < alone / 2


def test_narrow_weights_see_more_of_them():
    assert QuantConfig(weight_bits=4).guards > QuantConfig(weight_bits=8).guards > 0
    assert QuantConfig(layer_bits={"blocks.0.mlp.fc1": 5}).guards == QuantConfig(weight_bits=4).guards


def test_the_papers_method_has_none():
    assert METHODS["paper"].guards == 0
    for name in ("guard_photos", "narrow_guard_photos", "range_photos"):
        assert getattr(METHODS["paper"], name) == 0 < getattr(OURS, name)
