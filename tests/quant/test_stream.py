import numpy as np
import pytest
import torch

from p2vit.quant.stream import BATCH, Spool


def test_photos_come_back_in_batches_of_fixed_size():
    photos = np.random.default_rng(0).integers(0, 256, (BATCH + 3, 2, 2, 3), dtype=np.uint8)
    with Spool() as spool:
        stream = spool.pixels([photos[:1], photos[1:]], (2, 2, 3))
        assert len(stream) == BATCH + 3
        assert np.array_equal(torch.cat([stream[i] for i in stream.batches]).numpy(), photos)


def test_activations_are_written_and_read():
    with Spool() as spool:
        stream = spool.new("x", (BATCH + 1, 5))
        stream[1] = torch.ones(1, 5)
        assert stream[0].sum() == 0
        assert stream[1].sum() == 5


def test_wrong_photos_are_refused():
    with Spool() as spool:
        with pytest.raises(ValueError, match="no calibration photo came"):
            spool.pixels([], (2, 2, 3))
        with pytest.raises(ValueError, match=r"calibration photos are float64 .*expected uint8"):
            spool.pixels([np.zeros((1, 2, 2, 3))], (2, 2, 3))
