"""Indices against the tensor operations that they stand for, written out as libraries have them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from p2vit.models.layers import gather_tokens
from p2vit.models.windows import BlockShape, GlobalWindow, Merge, Windows

CASES = [
    ((6, 9), (3, 3), (0, 0)),
    ((6, 9), (3, 3), (1, 1)),
    ((7, 10), (3, 4), (1, 2)),
    ((5, 5), (7, 7), (3, 3)),
    ((4, 8), (4, 4), (0, 2)),
]


def partition(x, size):
    B, H, W, C = x.shape
    cut = x.view(B, H // size[0], size[0], W // size[1], size[1], C)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(B, -1, C)


@pytest.mark.parametrize("pad_first", [False, True])
@pytest.mark.parametrize(("grid", "size", "shift"), CASES)
def test_index_is_roll_pad_and_partition(grid, size, shift, pad_first):
    windows = Windows(grid, size, shift, pad_first)
    x = torch.randn(2, *grid, 3)
    pads = (0, 0, 0, -grid[1] % size[1], 0, -grid[0] % size[0])
    back = (-shift[0], -shift[1])
    moved = F.pad(x, pads) if pad_first else torch.roll(x, back, (1, 2))
    moved = torch.roll(moved, back, (1, 2)) if pad_first else F.pad(moved, pads)
    got = gather_tokens(x.flatten(1, 2), torch.from_numpy(windows.index.astype("int64")))
    assert torch.equal(got, partition(moved, size))
    assert windows.padding == (moved.shape[1:3] != x.shape[1:3])
    # What went in comes back to its place.
    inverse = torch.from_numpy(windows.inverse.astype("int64"))
    assert torch.equal(got[:, inverse], x.flatten(1, 2))


def test_a_fill_token_stands_where_there_is_no_other():
    windows = Windows((3, 3), (2, 2))
    x, fill = torch.randn(1, 9, 2), torch.tensor([5.0, -5.0])
    got = gather_tokens(x, torch.from_numpy(windows.index.astype("int64")), fill)[0]
    assert torch.equal(got[windows.index < 0], fill.expand(7, 2))


def test_regions_are_those_that_a_shift_brings_together():
    windows = Windows((4, 4), (2, 2), (1, 1))
    apart = windows.regions[:, :, None] != windows.regions[:, None, :]
    rows, columns = windows.index // 4, windows.index % 4
    places = np.stack([rows, columns], -1).reshape(4, 4, 2)
    for w in range(4):
        for i in range(4):
            for j in range(4):
                # Neighbours in the photo see each other; those from its opposite ends do not.
                assert apart[w, i, j] == (np.abs(places[w, i] - places[w, j]).max() > 1)
    assert Windows((4, 4), (2, 2)).regions is None
    assert not Windows((4, 4), (4, 4)).moves


def test_bias_index_is_the_distance():
    windows = Windows((6, 8), (2, 3))
    table = np.arange(windows.bias_rows)
    assert windows.bias_rows == 3 * 5
    index = windows.bias_index
    assert (np.diagonal(index) == 7).all()  # distance nothing is in the middle
    assert len(np.unique(index)) == len(table)
    assert index[0, 5] == 0  # one row up and two columns left
    assert index[5, 0] == 14


@pytest.mark.parametrize("grid", [(4, 6), (5, 7)])
def test_merging_puts_four_neighbours_side_by_side(grid):
    merge = Merge(grid, 3)
    x = torch.randn(2, *grid, 3)
    padded = F.pad(x, (0, 0, 0, grid[1] % 2, 0, grid[0] % 2))
    parts = [padded[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
    want = torch.cat(parts, dim=-1).flatten(1, 2)
    index = torch.from_numpy(merge.index.astype("int64"))
    got = gather_tokens(x.flatten(1, 2), index.flatten()).reshape(2, len(index), -1)
    assert torch.equal(got, want)
    assert merge.merged == (-(-grid[0] // 2), -(-grid[1] // 2))


def test_costs_of_a_block():
    plain = BlockShape(8, 2, 16, 10)
    assert plain.macs == 10 * (4 * 64 + 2 * 8 * 16) + 2 * 10 * 10 * 8
    windows = BlockShape(8, 2, 16, 25, Windows((5, 5), (3, 3)), Merge((10, 10), 4))
    assert (windows.places, windows.keys) == (36, 9)
    assert windows.macs == 25 * (4 * 64 + 2 * 8 * 16) + 2 * 36 * 9 * 8 + 25 * 16 * 8


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (4, 4)])
def test_distances_of_a_global_window_are_those_of_beit(timm, grid):
    from timm.models.beit import gen_relative_position_index

    window = GlobalWindow(grid)
    np.testing.assert_array_equal(window.bias_index, gen_relative_position_index(grid).numpy())
    assert window.bias_rows == window.bias_index.max() + 1
    assert (window.area, window.count, window.moves, window.padding) == (
        grid[0] * grid[1] + 1,
        1,
        False,
        False,
    )
    np.testing.assert_array_equal(window.index[window.inverse], np.arange(window.area))
    alone = GlobalWindow(grid, prefix_tokens=0)
    np.testing.assert_array_equal(alone.bias_index, window.bias_index[1:, 1:])
    assert alone.bias_rows == window.bias_rows - 3
