import numpy as np
import pytest

from p2vit.export.onnx.common.tokens import patches, repeated, selected
from p2vit.numerics import Patchify
from support.onnx_graphs import through


@pytest.mark.parametrize(("image", "size"), [((6, 9), 3), ((4, 2), 1), ((28, 14), 14)])
def test_patches_are_cut_as_the_operator_cuts_them(image, size):
    pixels = np.random.default_rng(0).integers(0, 256, (3, *image, 3)).astype(np.uint8)
    got = through(pixels, lambda graph, x: patches(graph, x, (*image, 3), size))
    assert np.array_equal((got ^ 128).view(np.int8), Patchify(size).compute(pixels))


@pytest.mark.parametrize("batch", [1, 4])
def test_rows_are_repeated_for_every_image(batch):
    rows = np.arange(10, dtype=np.float32).reshape(2, 5)
    got = through(np.zeros((batch, 3), np.float32), lambda graph, x: repeated(graph, rows, x))
    assert np.array_equal(got, np.broadcast_to(rows, (batch, 2, 5)))


@pytest.mark.parametrize(("first", "count"), [(0, 1), (6, 1), (2, 5)])
def test_tokens_are_selected(first, count):
    x = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    got = through(x, lambda graph, name: selected(graph, name, first, count))
    assert np.array_equal(got, x[:, first : first + count])
