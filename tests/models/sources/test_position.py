import pytest
import torch

from p2vit.errors import ModelError
from p2vit.models.sources.position import full_positions, resample_grid


def test_same_grid_is_untouched():
    grid = torch.randn(9, 4)
    assert resample_grid(grid, (3, 3), antialias=True) is grid


def test_a_constant_stays_constant():
    out = resample_grid(torch.full((49, 2), 3.0), (4, 5), antialias=False)
    torch.testing.assert_close(out, torch.full((20, 2), 3.0))


@pytest.mark.parametrize(("rows", "zero"), [(9, 5), (10, 4), (14, 0)])
def test_rows_for_patches_class_token_or_all(rows, zero):
    out = full_positions(torch.ones(1, rows, 4), 5, (3, 3), 4, antialias=True)
    assert out.shape == (14, 4)
    assert int((out == 0).all(dim=1).sum()) == zero
    assert (out[5:] == 1).all()


def test_none_is_zeros():
    assert not full_positions(None, 1, (2, 2), 4, antialias=True).any()


def test_odd_counts_are_refused():
    with pytest.raises(ModelError, match="13 position embeddings"):
        full_positions(torch.zeros(13, 4), 1, (2, 2), 4, antialias=True)


def test_as_many_patches_in_another_shape():
    grid = torch.randn(16, 3)
    # timm's own models hold positions of the grid they are for; transformers' are always square.
    assert resample_grid(grid, (2, 8), antialias=True) is grid
    square = grid.reshape(1, 4, 4, 3).permute(0, 3, 1, 2)
    want = torch.nn.functional.interpolate(square, size=(2, 8), mode="bicubic", align_corners=False)
    got = resample_grid(grid, (2, 8), antialias=False, always_square=True)
    torch.testing.assert_close(got, want.permute(0, 2, 3, 1).reshape(16, 3))
