import pytest
import torch

from p2vit.quant.config import QuantConfig
from p2vit.quant.grid import Grid
from p2vit.quant.weights import InputStatistics, LinearOptions, quantize_linear
from p2vit.quant.workers import Workers

ONE = torch.zeros((), dtype=torch.float64)


def case(seed: int = 0, outputs: int = 10, inputs: int = 32, offset: float = 0.0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(inputs, inputs, generator=generator)
    x = torch.randn(40, 12, inputs, generator=generator) @ mixing * 4
    grid = Grid(ONE, 8, offset)
    weight, bias = (
        torch.randn(outputs, inputs, generator=generator),
        torch.randn(outputs, generator=generator),
    )
    return x, grid, weight, bias, InputStatistics.of(x, grid, torch.ones(12))


def run(config, bits, offset=0.0, workers=2):
    x, grid, weight, bias, seen = case(offset=offset)
    with Workers(workers) as pool:
        layer = quantize_linear(weight, bias, grid, seen, LinearOptions(bits, config), pool)
    exact = grid.fake(x) @ weight.T + bias
    return layer, exact, layer.apply(grid.stored(x))


def noise(config, bits):
    _, exact, ours = run(config, bits)
    return float(((exact - ours) ** 2).mean())


def test_compensation_beats_plain_rounding_at_every_width():
    for bits in (3, 4, 6, 8):
        plain = noise(QuantConfig(weight_rounding="nearest", bias_correction=False), bits)
        assert noise(QuantConfig(bias_correction=False), bits) < plain


def test_exponents_per_channel_beat_one():
    assert noise(QuantConfig(), 4) < noise(QuantConfig(weight_channels=False), 4)


@pytest.mark.parametrize("offset", [0.0, 37.0])
def test_the_layer_is_integers_and_absorbs_the_inputs_offset(offset):
    layer, exact, ours = run(QuantConfig(bias_correction=False), 8, offset)
    assert torch.equal(layer.weight, layer.weight.round())
    assert torch.equal(layer.bias, layer.bias.round())
    assert layer.weight.abs().max() <= 128
    assert torch.equal(layer.log2_scale, layer.log2_scale.round())
    assert float(((exact - ours) ** 2).mean()) < 1e-3 * float((exact**2).mean())


def test_bias_correction_leaves_no_more_mean_error_than_a_bias_rounds():
    x, grid, weight, bias, seen = case()
    with Workers(1) as pool:
        corrected = quantize_linear(
            weight, bias, grid, seen, LinearOptions(3, QuantConfig(bias_correction=True)), pool
        )
        plain = quantize_linear(
            weight, bias, grid, seen, LinearOptions(3, QuantConfig(bias_correction=False)), pool
        )
    # Output of the float layer for the input before it is rounded and saturated.
    error, before = (
        (x @ weight.T + bias - layer.apply(grid.stored(x))).mean((0, 1)).abs() for layer in (corrected, plain)
    )
    assert bool((error <= torch.exp2(corrected.log2_scale) * 0.501).all())
    assert before.max() > error.max()


def test_half_of_the_correction_moves_the_bias_half_the_way():
    _, grid, weight, bias, seen = case()
    with Workers(1) as pool:
        none, half, whole = (
            quantize_linear(
                weight, bias, grid, seen, LinearOptions(8, QuantConfig(bias_correction=correction)), pool
            ).bias
            for correction in (False, None, True)
        )
    assert not torch.equal(none, whole)
    assert bool(((none + whole) / 2 - half).abs().max() <= 1)


def test_statistics_weigh_tokens():
    x = torch.arange(6.0).reshape(1, 3, 2)
    seen = InputStatistics.of(x, Grid(ONE), torch.tensor([2.0, 0.0, 1.0]))
    assert seen.total.tolist() == [4.0, 7.0]
    assert seen.hessian.tolist() == [[16.0, 20.0], [20.0, 27.0]]
    assert seen.count == 3


def test_the_number_of_workers_changes_nothing():
    one, three = (run(QuantConfig(), 4, workers=n)[0] for n in (1, 3))
    assert torch.equal(one.weight, three.weight)
    assert torch.equal(one.bias, three.bias)
