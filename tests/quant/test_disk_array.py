import numpy as np
import pytest
import torch

from p2vit.quant.disk_array import BATCH, ArrayFolder


def test_photos_come_back_in_batches_of_fixed_size():
    photos = np.random.default_rng(0).integers(0, 256, (BATCH + 3, 2, 2, 3), dtype=np.uint8)
    with ArrayFolder() as folder:
        stream = folder.pixels([photos[:1], photos[1:]], (2, 2, 3))
        assert len(stream) == BATCH + 3
        assert np.array_equal(torch.cat([stream[i] for i in stream.batches]).numpy(), photos)


def test_activations_are_written_and_read():
    with ArrayFolder() as folder:
        stream = folder.new("x", (BATCH + 1, 5))
        stream[1] = torch.ones(1, 5)
        assert stream[0].sum() == 0
        assert stream[1].sum() == 5


def test_wrong_photos_are_refused():
    with ArrayFolder() as folder:
        with pytest.raises(ValueError, match="no calibration photo"):
            folder.pixels([], (2, 2, 3))
        with pytest.raises(ValueError, match=r"calibration photos are float64 .*expected uint8"):
            folder.pixels([np.zeros((1, 2, 2, 3))], (2, 2, 3))
