import pytest
import torch
from torch.nn import functional as F

from p2vit.quant.activation_grids import Ranges
from p2vit.quant.config import QuantConfig
from p2vit.quant.float_ranges import float_ranges, widened
from p2vit.quant.float_statistics import read_tokens
from p2vit.quant.fold import fold_block, normalise
from p2vit.quant.pipeline import quantize_model
from p2vit.quant.synthetic_photos import synthetic_photos
from p2vit.quant.workers import Workers
from support.families import FAMILIES, SWIN
from support.tiny import float_model, smooth_photos, swin_model


def same(found: Ranges, x: torch.Tensor) -> None:
    wanted = Ranges.of(x)
    for name in ("low", "high"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), atol=1e-5, rtol=1e-5)


def test_ranges_are_those_of_the_folded_layers(tiny_model, photos):
    model = tiny_model.module
    with Workers(2) as workers, torch.inference_mode():
        found = float_ranges(model, [photos[:3], photos[3:]], workers)
        x = model.embed(torch.from_numpy(photos))
        for index, block in enumerate(model.blocks):
            layers, name = fold_block(block).layers, f"blocks.{index}"
            normal = normalise(x, block.norm1.eps)
            same(found[f"{name}.norm1"], normal)
            for part in "qkv":
                same(found[f"{name}.{part}"], F.linear(normal, layers[part].weight, layers[part].bias))
            branch = block.attention(block.norm1(x))
            same(found[f"{name}.branch1"], branch)
            x = x + branch
            same(found[f"{name}.add1"], x)
            normal = normalise(x, block.norm2.eps)
            same(found[f"{name}.norm2"], normal)
            same(found[f"{name}.fc1"], F.linear(normal, layers["fc1"].weight, layers["fc1"].bias))
            x = x + block.mlp(block.norm2(x))
            same(found[f"{name}.add2"], x)
        same(found["feature"], model.pool(x))


def test_of_the_last_block_only_the_tokens_that_are_read_count(tiny_model, photos):
    model, depth = tiny_model.module, len(tiny_model.module.blocks)
    with Workers(2) as workers, torch.inference_mode():
        every = float_ranges(model, [photos], workers)
        found = float_ranges(model, [photos], workers, read=1)
        x = model.embed(torch.from_numpy(photos))
        for block in model.blocks[:-1]:
            x = block(x)
        block, name = model.blocks[-1], f"blocks.{depth - 1}"
        middle = x + block.attention(block.norm1(x))
    same(found[f"{name}.add1"], middle[:, :1])
    same(found[f"{name}.norm2"], normalise(middle, block.norm2.eps)[:, :1])
    for site in ("q", "values", "fc1", "add2"):
        assert bool((found[f"{name}.{site}"].magnitude <= every[f"{name}.{site}"].magnitude).all())
        assert not torch.equal(found[f"{name}.{site}"].magnitude, every[f"{name}.{site}"].magnitude)
    kept = [
        f"{name}.norm1",
        f"{name}.k",
        f"{name}.v",
        *(f"blocks.{depth - 2}.{site}" for site in ("values", "add2")),
    ]
    for site in kept:
        same(found[site], torch.stack([every[site].low, every[site].high]))


def test_the_model_keeps_no_hook(tiny_model, photos):
    with Workers(1) as workers, torch.inference_mode():
        float_ranges(tiny_model.module, [photos], workers)
    hooks = [m for m in tiny_model.module.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooks


def test_widened_ranges_cover_both():
    a = Ranges(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 5.0]))
    b = Ranges(torch.tensor([0.0, -2.0]), torch.tensor([3.0, 1.0]))
    both = widened(a, {"x": b}, "x")
    assert (both.low.tolist(), both.high.tolist()) == ([-1.0, -2.0], [3.0, 5.0])
    assert widened(a, {"x": b}, "y") is a


@pytest.mark.parametrize("family", FAMILIES)
def test_the_grids_of_every_family_cover_the_synthetic_photos(family):
    make = swin_model if family.startswith(SWIN) else float_model
    model, config = make(**FAMILIES[family]), QuantConfig(range_photos=16)
    size = model.config.image_size
    with Workers(1) as workers, torch.inference_mode():
        quantized, _ = quantize_model(model.module, [smooth_photos(size, 4)], config, 1)
        read = read_tokens(model.module, len(model.module.blocks) - 1, ())
        found = float_ranges(model.module, synthetic_photos(size, 16), workers, read)
    places = {f"blocks.{index}": block for index, block in enumerate(quantized.blocks)}
    if quantized.pooling is not None:
        places["pool"] = quantized.pooling.block
    checked = 0
    for place, block in places.items():
        for site in ("norm1", "q", "k", "v", "values", "add1", "norm2", "branch2", "add2"):
            if f"{place}.{site}" in found:
                grid = block.grids[site]
                limit = (2 ** (grid.bits - 1)) * grid.scale
                assert bool((found[f"{place}.{site}"].magnitude <= limit * 1.001).all()), (place, site)
                checked += 1
    assert checked >= 8 * len(places)
