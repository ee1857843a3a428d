import numpy as np
import pytest

from p2vit.export.onnx.common.heads import heads_first
from p2vit.numerics.heads import split_heads
from support.onnx_graphs import through


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("windows", [1, 3])
def test_heads_are_split_as_the_reference_splits_them(windows, across):
    x = np.random.default_rng(0).normal(size=(2, 6, 20)).astype(np.float32)
    got = through(x, lambda graph, name: heads_first(graph, name, 6, 4, windows, across=across))
    expected = split_heads(x, 4, windows)
    expected = expected[:, :, 0] if windows == 1 else expected
    assert np.array_equal(got, expected.swapaxes(-1, -2) if across else expected)
