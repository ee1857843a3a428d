from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from p2vit.quant.activation_grids import FLAT_BELOW, Ranges, gelu_grids
from p2vit.quant.config import METHODS, OURS, QuantConfig
from p2vit.quant.fold import Affine, fold_block
from p2vit.quant.grid import Grid, range_grid
from p2vit.quant.grid_selection import (
    GridSelection,
    select_attention_grids,
    select_merge_grids,
    select_mlp_grids,
)
from p2vit.quant.simulated import QuantizedBlock
from p2vit.quant.workers import Workers
from support.tiny import float_model

TENSOR = replace(OURS, criterion="tensor")


@pytest.fixture
def workers():
    with Workers(2) as workers:
        yield workers


def outlying(channels: int, tokens: int = 7) -> torch.Tensor:
    """Return values within ±0.9, except for one outlier of 1.9: float32 [2, tokens, channels]."""
    x = torch.rand(2, tokens, channels, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    x[0, 3, 1] = 1.9
    return x


def identity(trial, x):
    """Half block that only rounds its input."""
    return x if trial is None else trial["x"].fake(x)


def test_the_error_is_the_weighted_squared_distance_without_its_mean(workers):
    x, importance = outlying(4), torch.tensor([3.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.0])
    grid = Grid(torch.tensor(-3.0, dtype=torch.float64))
    distance = (grid.fake(x) - x).double()
    weight = importance.double()[None, :, None]
    squares = float((distance**2 * weight).sum())
    means = (distance * weight).sum(dim=(0, 1)) / (2 * 7.0)
    plain = GridSelection(replace(OURS, bias_correction=False), importance, workers).error(identity, x)
    assert plain({"x": grid}) == pytest.approx(squares)
    corrected = GridSelection(OURS, importance, workers).error(identity, x)
    assert corrected({"x": grid}) == pytest.approx(squares - 14 * float((means**2).sum()))


def test_grids_are_selected_only_for_power_of_two_scales_with_a_criterion(workers):
    enabled = {
        name: GridSelection(config, torch.ones(1), workers).enabled for name, config in METHODS.items()
    }
    assert {name for name, selects in enabled.items() if selects} == {
        "p2vit",
        "p2vit-linear",
        "p2vit-log2",
        "p2vit-residual8",
        "paper",
    }


def block_with(config: QuantConfig, probe: torch.Tensor, loud: float = 1.0):
    """Return a block with grids from the ranges of a probe, its folded layers and hidden ranges.

    ``loud`` multiplies the weights of v for channel 1.
    """
    model = float_model()
    block = model.module.blocks[0]
    folded = fold_block(block)
    folded.layers["v"].weight[:, 1] *= loud
    made = QuantizedBlock(block.shape, 1e-6, "gelu", folded.score_exponent, config.softmax)
    for name in ("norm1", "norm2"):
        made.grids[name] = range_grid(Ranges.of(probe).magnitude, config.scales, per_channel=False)
    for name in "qkv":
        out = F.linear(probe, folded.layers[name].weight, folded.layers[name].bias)
        made.grids[name] = range_grid(Ranges.of(out).magnitude, config.scales, per_channel=False)
    hidden = Ranges.of(F.linear(probe, folded.layers["fc1"].weight, folded.layers["fc1"].bias))
    made.grids["fc1"], made.grids["gelu"] = gelu_grids(hidden, "gelu", FLAT_BELOW[0], config, 1)
    return made, folded.layers, hidden


def test_the_tensors_own_error_clips_an_outlier_that_the_output_needs(workers):
    """An outlier adds little to the tensor's error, and much to the error of the block's output if v amplifies it."""
    x = outlying(24)
    x[0, 3, 1] = 1.04
    finer = {}
    for config in (OURS, TENSOR):
        block, layers, _ = block_with(config, x, loud=100)
        before = block.grids["norm1"].log2_scale
        select_attention_grids(GridSelection(config, torch.ones(7), workers), layers, block, x)
        finer[config.criterion] = float(before - block.grids["norm1"].log2_scale)
    assert finer["tensor"] == 1
    assert finer["block"] == 0


@pytest.mark.parametrize("half", ["attention", "mlp"])
def test_the_selected_grids_are_never_worse_than_the_range(workers, half):
    x = outlying(24)
    block, layers, hidden = block_with(OURS, x)
    seen = []

    class Watching(GridSelection):
        def error(self, output, probe):
            inner = super().error(output, probe)
            seen.append(inner)
            return inner

    selection, start = Watching(OURS, torch.ones(7), workers), dict(block.grids)
    if half == "attention":
        select_attention_grids(selection, layers, block, x)
    else:
        select_mlp_grids(selection, layers, block, x, hidden)
    (error,) = seen
    assert error(block.grids) <= error(start)
    changed = {
        name for name in start if not torch.equal(start[name].log2_scale, block.grids[name].log2_scale)
    }
    assert changed <= ({"norm1", "v"} if half == "attention" else {"norm2", "fc1", "gelu"})


def test_the_grid_of_merging_is_selected_by_the_output_of_its_own_layer(workers):
    x = outlying(8)
    x[0, 3, 1] = 1.02
    blind = torch.eye(8)
    blind[1, 1] = 0  # the reduction does not read the channel with the outlier
    for config in (OURS, TENSOR):
        block, *_ = block_with(config, outlying(24))
        start = block.grids["merge"] = range_grid(Ranges.of(x).magnitude, "pot", per_channel=False)
        select_merge_grids(
            GridSelection(config, torch.ones(7), workers), Affine(blind, torch.zeros(8)), block, x
        )
        assert float(start.log2_scale - block.grids["merge"].log2_scale) == 1
    everything = range_grid(Ranges.of(x).magnitude, "pot", per_channel=False)
    block.grids["merge"] = everything
    loud = torch.eye(8)
    loud[1, 1] = 1000
    x[0, 3, 1] = 1.9
    select_merge_grids(GridSelection(OURS, torch.ones(7), workers), Affine(loud, torch.zeros(8)), block, x)
    assert torch.equal(block.grids["merge"].log2_scale, everything.log2_scale)
