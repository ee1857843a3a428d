import pytest
import torch

from p2vit.quant.balance import MOST, balance_input, raised_exponents, raised_grid, rescaled
from p2vit.quant.grid import Grid, offset_grid, range_grid
from p2vit.quant.weights import InputStatistics
from support.tiny import float_model


def loss(weight, bits, log2_scale, x):
    """Expected squared error per token of rounding the input and the weights, both to nearest."""
    scale = torch.exp2(log2_scale)
    columns = (weight.double() * scale).abs()
    steps = torch.exp2(torch.ceil(torch.log2(columns.amax(dim=1) / ((1 << (bits - 1)) - 0.5))))
    stored = (x.double() / scale).square().mean(dim=0)
    inputs = (weight.double().square().sum(dim=0) * scale.square()).sum()
    return float((inputs + steps.square().sum() * stored.sum()) / 12)


def uneven(channels=16, rows=8):
    """Return weights whose columns differ by factors, and inputs."""
    torch.manual_seed(0)
    factor = torch.exp2(torch.arange(channels) % 5 - 4.0)
    return torch.randn(rows, channels) * factor, torch.randn(400, channels)


@pytest.mark.parametrize("bits", [4, 8])
def test_raising_exponents_lowers_the_expected_error(bits):
    weight, x = uneven()
    grid = range_grid(x.abs().amax(dim=0), "pot")
    energy = (x.double() / grid.scale).square().mean(dim=0)
    most = torch.full((16,), float(MOST), dtype=torch.float64)
    raised = raised_exponents([(weight, bits)], grid.log2_scale, energy, most)
    assert bool(((raised >= 0) & (raised <= MOST)).all())
    assert loss(weight, bits, grid.log2_scale + raised, x) < loss(weight, bits, grid.log2_scale, x)
    # The loudest columns fix the weights' scale, so they stay.
    assert float(raised[torch.arange(16) % 5 == 4].max()) <= float(raised[torch.arange(16) % 5 == 0].min())


def test_no_exponent_is_raised_by_more_than_allowed():
    weight, x = uneven()
    grid = range_grid(x.abs().amax(dim=0), "pot")
    energy = (x.double() / grid.scale).square().mean(dim=0)
    most = torch.arange(16, dtype=torch.float64) % 2
    assert bool((raised_exponents([(weight, 3)], grid.log2_scale, energy, most) <= most).all())


def test_channels_of_a_group_are_raised_together():
    weight, x = uneven()
    grid = range_grid(x.abs().amax(dim=0), "pot", per_channel=False)
    scale = grid.log2_scale.expand(16)
    energy = (x.double() / grid.scale).square().mean(dim=0)
    raised = raised_exponents([(weight, 4)], scale, energy, torch.full((16,), 4.0), size=4)
    assert torch.equal(raised, raised.view(4, 4)[:, :1].expand(4, 4).reshape(16))


def test_a_raised_grid_keeps_its_lowest_value():
    grid = offset_grid(torch.tensor([-0.17, -0.1]), torch.tensor([6.0, 1.5]), "pot")
    raised = torch.tensor([2.0, 0.0], dtype=torch.float64)
    wide = raised_grid(grid, raised)
    lowest = [(each.offset - 128) * each.scale for each in (grid, wide)]
    assert bool(((lowest[0] - lowest[1]).abs() <= wide.scale / 2).all())
    assert torch.equal(wide.offset[1], grid.offset[1])


def test_rescaled_statistics_are_nearly_those_of_the_new_grid():
    _, x = uneven()
    x = x.view(4, 100, 16)
    grid, importance = range_grid(x.abs().amax(dim=(0, 1)), "pot"), torch.ones(100)
    raised = (torch.arange(16, dtype=torch.float64) % 3).floor()
    wide = Grid(grid.log2_scale + raised, grid.bits)
    found = rescaled(InputStatistics.of(x, grid, importance), raised)
    wanted = InputStatistics.of(x, wide, importance)
    torch.testing.assert_close(
        found.hessian, wanted.hessian, rtol=0.02, atol=0.02 * float(wanted.hessian.max())
    )
    torch.testing.assert_close(found.exact, wanted.exact)
    assert found.count == wanted.count


def test_a_grid_with_one_exponent_stays():
    model = float_model()
    block = model.module.blocks[0]
    from p2vit.quant.simulated import QuantizedBlock

    made = QuantizedBlock(block.shape, 1e-6, "gelu", -3, "linear")
    made.grids["norm2"] = Grid(torch.tensor(-4.0, dtype=torch.float64))
    x = torch.randn(2, 7, block.fc1.in_features)
    seen = InputStatistics.of(x, made.grids["norm2"], torch.ones(7))
    assert balance_input(made, "norm2", [(block.fc1.weight, 8)], seen) is seen
