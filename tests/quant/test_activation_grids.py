import pytest
import torch

from p2vit.numerics.layernorm import rsqrt_table, squares_shift
from p2vit.quant.activation_grids import (
    Ranges,
    choose,
    gelu_grids,
    norm_candidates,
    norm_grid,
    query_key_grids,
)
from p2vit.quant.config import QuantConfig
from p2vit.quant.fold import Affine
from p2vit.quant.grid import Grid

COVER = QuantConfig()


def ranges(*magnitudes: float) -> Ranges:
    high = torch.tensor(magnitudes)
    return Ranges(-high, high)


def test_ranges_of_batches_merge():
    a, b = Ranges.of(torch.tensor([[1.0, -2.0]])), Ranges.of(torch.tensor([[3.0, 1.0], [-4.0, 0.0]]))
    merged = Ranges.merge([a, b])
    assert merged.low.tolist() == [-4.0, -2.0]
    assert merged.high.tolist() == [3.0, 1.0]
    assert merged.magnitude.tolist() == [4.0, 2.0]


def test_scores_can_be_summed_within_a_head():
    generator = torch.Generator().manual_seed(0)
    q, k = (Ranges(-m, m) for m in torch.exp2(torch.rand(2, 24, generator=generator) * 8 - 4))
    grid_q, grid_k = query_key_grids(q, k, 3, COVER)
    total = (grid_q.log2_scale + grid_k.log2_scale).view(3, 8)
    assert torch.equal(total, total[:, :1].expand_as(total))
    assert bool((q.magnitude <= grid_q.scale * 127.5).all())
    assert bool((k.magnitude <= grid_k.scale * 127.5).all())


def test_smoothing_gives_each_channel_its_exponent():
    seen = ranges(1.0, 16.0, 0.25)
    layer = Affine(torch.ones(4, 3), torch.zeros(4))
    channel = norm_grid(seen, [layer], COVER, 0.5)
    assert (channel.log2_scale - channel.log2_scale[0]).tolist() == [0, 4, -2]
    assert norm_grid(seen, [layer], QuantConfig(smoothing="none"), 0.5).log2_scale.ndim == 0
    alpha = norm_grid(seen, [layer], QuantConfig(smoothing="alpha"), 0.5)
    assert (alpha.log2_scale - alpha.log2_scale[0]).tolist() == [0, 2, -1]


def test_exponents_stay_within_the_shifter():
    silent = norm_grid(ranges(0.0, 1.0), [Affine(torch.ones(1, 2), torch.zeros(1))], COVER, 0.5)
    base = rsqrt_table(2)[1] + squares_shift(2)
    assert bool(((silent.log2_scale + base >= 14) & (silent.log2_scale + base <= 30)).all())


@pytest.mark.parametrize("magnitude", [0.0, 1e-30, 1e-8, 1e-4, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("channels", [2, 64, 4096])
def test_candidates_of_a_norm_stay_within_the_shifter(channels, magnitude):
    values = magnitude * torch.linspace(-1, 1, 3 * channels).reshape(1, 3, channels)
    start = norm_grid(Ranges.of(values), [Affine(torch.ones(1, channels), torch.zeros(1))], COVER, 0.5)
    base = rsqrt_table(channels)[1] + squares_shift(channels)
    for grid in norm_candidates(start, values):
        assert bool(((grid.log2_scale + base >= 14) & (grid.log2_scale + base <= 30)).all())


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_gelu_grids_use_all_their_codes(activation):
    seen = Ranges(torch.tensor([-11.0, -1.0]), torch.tensor([8.3, 0.5]))
    inputs, outputs = gelu_grids(seen, activation, -2.5, COVER)
    plain_in, plain_out = gelu_grids(seen, activation, -2.5, QuantConfig(gelu_offset=False))
    assert inputs.scale < plain_in.scale
    assert outputs.scale < plain_out.scale
    assert inputs.stored(torch.tensor(-2.5)) == -128
    assert outputs.stored(torch.tensor(0.0)) < 0


def test_the_least_error_wins_and_the_first_wins_ties():
    grids = [{"a": Grid(torch.tensor(float(e), dtype=torch.float64))} for e in range(3)]
    assert choose(grids, lambda g: abs(float(g["a"].log2_scale) - 1)) is grids[1]
    assert choose(grids, lambda g: 0.0) is grids[0]
