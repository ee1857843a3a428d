"""Second-order rounding: compensation and coordinate descent each lower the loss."""

import pytest
import torch

from p2vit.quant.compensation import aim, code_range, compensate, damped, descend, inverse_factor, row_losses
from p2vit.quant.config import QuantConfig
from p2vit.quant.float_reference import ExtraWidths
from p2vit.quant.grid import Grid
from p2vit.quant.pipeline import quantize_model, simulate
from p2vit.quant.sensitivity import sqnr_db
from p2vit.quant.weights import (
    InputStatistics,
    LinearOptions,
    quantize_linear,
    round_compensated,
    scale_steps,
)
from p2vit.quant.workers import Workers

ONE = torch.zeros((), dtype=torch.float64)


def case(rows: int = 12, columns: int = 40, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(500, columns, generator=generator) @ torch.randn(columns, columns, generator=generator)
    weight = torch.randn(rows, columns, generator=generator) * 3
    return weight, (x.T @ x).double(), x


def test_each_step_lowers_the_loss():
    weight, hessian, _ = case()
    factor, order = inverse_factor(hessian)
    ordered, units = damped(hessian)[order][:, order].float(), weight[:, order]
    plain = torch.floor(units + 0.5).clamp(*code_range(4))
    once = compensate(units, factor, 4)
    more = descend(units, once, ordered, 4, 3)
    losses = [row_losses(units, codes, ordered) for codes in (plain, once, more)]
    assert losses[1].sum() < losses[0].sum()
    assert bool((losses[2] <= losses[1] * (1 + 1e-5)).all())
    assert losses[2].sum() < losses[1].sum()
    assert bool((more >= -8).all())
    assert bool((more <= 7).all())


def test_a_channel_gets_the_scale_at_which_it_really_comes_out_best():
    weight, hessian, _ = case()
    with Workers(2) as pool:
        codes, scale = round_compensated(weight.double(), hessian, 4, QuantConfig(), pool)
        covering, coarse = round_compensated(
            weight.double(), hessian, 4, QuantConfig(criterion="range"), pool
        )

    def loss(codes, scale):
        error = codes.double() * torch.exp2(scale).unsqueeze(1) - weight.double()
        return ((error @ hessian) * error).sum()

    assert bool((scale <= coarse).all())
    assert bool((scale < coarse).any())
    assert loss(codes, scale) < loss(covering, coarse)


def test_narrow_widths_may_clip_and_wide_ones_do_not():
    assert scale_steps(8, QuantConfig()) == (0.0,)
    assert scale_steps(4, QuantConfig()) == (0.0, -1.0, -2.0)
    assert scale_steps(4, QuantConfig(scales="float"))[-1] == -0.5
    assert scale_steps(4, QuantConfig(criterion="range")) == (0.0,)


def test_the_regression_target_is_the_map_that_explains_the_float_output():
    weight, hessian, x = case()
    wanted = weight.double() + 0.3
    cross = x.double().T @ (x.double() @ wanted.T)
    assert (aim(weight.double(), hessian, cross) - wanted).abs().mean() < 0.15
    nothing = torch.zeros_like(hessian)
    unseen = aim(weight.double(), nothing, torch.zeros(len(hessian), len(weight), dtype=torch.float64))
    torch.testing.assert_close(unseen, weight.double())


def test_a_layer_corrects_a_linear_error_of_its_input():
    generator = torch.Generator().manual_seed(3)
    weight, bias = torch.randn(10, 32, generator=generator), torch.randn(10, generator=generator)
    exact = torch.randn(200, 5, 32, generator=generator) * 30
    # The quantized model's values: a linear distortion of the float model's, which the layer can correct.
    ours = exact @ (torch.eye(32) + 0.1 * torch.randn(32, 32, generator=generator)) + 2
    grid, even, wanted = Grid(ONE), torch.ones(5), exact @ weight.T + bias
    errors = {}
    with Workers(1) as pool:
        for name, source in (("own", None), ("float", exact)):
            seen = InputStatistics.of(ours, grid, even, source)
            options = LinearOptions(8, QuantConfig(), wanted.double().mean((0, 1)), weight)
            layer = quantize_linear(weight, bias, grid, seen, options, pool)
            errors[name] = float(((layer.apply(grid.stored(ours)) - wanted) ** 2).mean())
    assert errors["float"] < errors["own"] / 10


def test_statistics_of_the_float_side_are_merged():
    generator = torch.Generator().manual_seed(5)
    x, s = torch.randn(2, 3, 4, generator=generator) * 20, torch.randn(2, 3, 5, generator=generator)
    even = torch.ones(3)
    whole = InputStatistics.of(x, Grid(ONE), even, s)
    parts = InputStatistics.merge(
        [InputStatistics.of(x[i : i + 1], Grid(ONE), even, s[i : i + 1]) for i in (0, 1)]
    )
    assert whole.cross is not None
    assert parts.cross is not None
    torch.testing.assert_close(parts.cross, whole.cross, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(parts.source, whole.source, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("config", "aims"),
    [
        (QuantConfig(), False),
        (QuantConfig(weight_bits=4), True),
        (QuantConfig(layer_bits={"blocks.0.attn.q": 4}), True),
        (QuantConfig(weight_bits=4, weight_target="own"), False),
        (QuantConfig(weight_target="float"), True),
        (QuantConfig(weight_target="float", weight_rounding="nearest"), False),
        (QuantConfig(weight_target="float", bias_correction=False), False),
    ],
)
def test_the_float_stream_is_kept_if_weights_are_rounded_to_reproduce_it(config, aims):
    assert config.aims_at_float is aims


def test_reproducing_the_float_stream_lowers_the_error(tiny_model, photos):
    module = tiny_model.module
    with torch.inference_mode():
        exact = module.features(torch.from_numpy(photos))
    got = {}
    for target in ("own", "float"):
        config = QuantConfig(weight_bits=3, weight_target=target)
        model, _ = quantize_model(module, [photos], config, 2)
        got[target] = sqnr_db(exact, simulate(model, photos)[1])
    assert got["float"] > got["own"]


def test_extra_widths_are_rounded_for_every_layer_and_change_nothing(tiny_model, photos):
    kept = {}
    extra_widths = ExtraWidths((4, 8), lambda name, width, layer: kept.setdefault((name, width), layer))
    with_extra, _ = quantize_model(tiny_model.module, [photos], QuantConfig(), 2, extra_widths=extra_widths)
    without, _ = quantize_model(tiny_model.module, [photos], QuantConfig(), 2)
    assert len(kept) == 2 * 12
    assert all(layer.bits == width for (_, width), layer in kept.items())
    assert torch.equal(simulate(with_extra, photos)[0], simulate(without, photos)[0])
