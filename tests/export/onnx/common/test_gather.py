import numpy as np
import pytest

from p2vit.export.onnx.common.gather import gathered
from p2vit.numerics import GatherTokens
from support.onnx_graphs import through


@pytest.mark.parametrize("low", [-1, 0])
@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_tokens_and_fill_as_the_operator_has_them(dtype, low):
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (2, 5, 6)).astype(dtype)
    index, fill = rng.integers(low, 5, (7, 2)), rng.integers(-128, 128, 6).astype(dtype)
    expected = GatherTokens(index, fill).compute(x)
    # The nodes only move data, so int32 represents every dtype.
    got = through(
        x.astype(np.int32),
        lambda graph, name: gathered(graph, name, 5, index, fill.astype(np.int32), expected.shape[1:]),
    )
    assert np.array_equal(got, expected)
