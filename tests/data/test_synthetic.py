import numpy as np
import pytest

from p2vit.data.benchmarks import open_photos
from p2vit.data.synthetic import KINDS, SyntheticPhotos
from p2vit.program.preprocessing import Preprocessing


def photos(size=(48, 64), count=8, seed=0):
    return np.concatenate(list(SyntheticPhotos(Preprocessing(image_size=size)).calibration(count, seed)))


def test_photos_come_from_their_seed_and_number_alone():
    assert np.array_equal(photos(count=3), photos()[:3])
    assert not np.array_equal(photos(seed=1), photos())
    assert len(np.unique(photos(count=40).reshape(40, -1), axis=0)) == 40


@pytest.mark.parametrize("size", [(8, 12), (16, 16), (33, 21), (224, 224)])
def test_every_kind_fits_every_size(size):
    found = photos(size)
    assert found.dtype == np.uint8
    assert found.shape == (len(KINDS), *size, 3)
    assert np.ptp(found.reshape(len(KINDS), -1), axis=1).min() > 30, "no photo is flat"


def test_all_colours_occur_beside_each_other():
    found = photos(count=64).reshape(-1, 3)
    corners = np.unique(
        (found[(found > 223).all(axis=1) | (found < 32).any(axis=1)] > 127).astype(int), axis=0
    )
    assert len(corners) == 8, "black, white and the six saturated colours"


def test_none_names_them():
    source = open_photos("none", Preprocessing(image_size=(16, 16)))
    assert (source.name, source.classes) == ("none", ())
    assert np.array_equal(next(source.calibration(4, 0)), photos((16, 16), 4))
