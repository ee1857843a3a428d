"""Photos in batches, and an even choice of them."""

import numpy as np
import pytest

from p2vit.data.source import batched


@pytest.mark.parametrize("batch_size", [1, 3, 7, 8, 1 << 31, 1 << 63, 1 << 80])
def test_batches_of_any_size_hold_every_photo_once(batch_size):
    photos = [np.full((2, 2, 3), n, dtype=np.uint8) for n in range(7)]
    batches = list(batched(range(7), lambda n: None if n == 3 else photos[n], batch_size))
    assert [int(n) for _, numbers in batches for n in numbers] == [0, 1, 2, 4, 5, 6]
    assert all(1 <= len(pixels) <= batch_size for pixels, _ in batches)
    assert [int(value) for pixels, _ in batches for value in pixels[:, 0, 0, 0]] == [0, 1, 2, 4, 5, 6]
