import numpy as np

from p2vit.numerics.heads import split_heads


def test_each_head_of_each_window_is_a_block_of_its_own():
    x = np.random.default_rng(0).integers(-128, 128, (2, 6, 12)).astype(np.int8)
    got = split_heads(x, 4, windows=3)
    assert got.shape == (2, 4, 3, 2, 3)
    for (b, h, w), _ in np.ndenumerate(got[..., 0, 0]):
        assert np.array_equal(got[b, h, w], x[b, 2 * w : 2 * w + 2, 3 * h : 3 * h + 3])
