import numpy as np
import torch

from p2vit.quant.config import METHODS, OURS, QuantConfig
from p2vit.quant.pipeline import quantize_model
from p2vit.quant.synthetic_photos import with_synthetic_photos


def test_synthetic_photos_come_last_and_are_always_the_same():
    photos = [np.zeros((3, 16, 24, 3), np.uint8)]
    batches = [list(with_synthetic_photos(photos, (16, 24), 4)) for _ in range(2)]
    assert np.concatenate(batches[0]).shape == (7, 16, 24, 3)
    assert all(np.array_equal(a, b) for a, b in zip(*batches, strict=True))
    assert len(list(with_synthetic_photos(photos, (16, 24), 0))) == 1
    synthetic = np.concatenate(batches[0])[3:].astype(float)
    assert np.ptp(synthetic, axis=(1, 2)).min() > 100, "every colour of every synthetic photo varies widely"


def test_a_program_of_grey_photos_has_room_for_coloured_ones(tiny_model):
    size = tiny_model.config.image_size
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.integers(100, 120, (6, *size, 1)), 3, axis=-1).astype(np.uint8)
    coloured = torch.from_numpy(rng.integers(0, 256, (4, *size, 3), dtype=np.uint8))

    def clipped(count: int) -> float:
        # Balance widens the ranges too, so it is off here.
        config = QuantConfig(guard_photos=count, balance=False)
        quantized, seen = quantize_model(tiny_model.module, [grey], config, 2)
        assert seen == 6
        block = quantized.blocks[0]
        values, grid = block.values(quantized.embed(coloured)), block.grids["values"]
        return float((values.abs() > 127.5 * grid.scale).float().mean())

    assert clipped(4) < clipped(0) / 2


def test_the_papers_method_has_none():
    assert METHODS["paper"].guard_photos == 0 < OURS.guard_photos
