"""Feature and head: the feature's mean error is removed, and the head's rounding errors compensate each other."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from p2vit.quant.config import OURS
from p2vit.quant.float_statistics import observe
from p2vit.quant.fold import Affine
from p2vit.quant.head import quantize_head
from p2vit.quant.pipeline import quantize_model
from p2vit.quant.workers import Workers
from support.tiny import float_model, smooth_photos


class Stream:
    """Photos, or the residual stream after the last block, in batches."""

    def __init__(self, parts):
        self.parts, self.batches = parts, range(len(parts))

    def __getitem__(self, index):
        return self.parts[index]

    def __len__(self):
        return sum(map(len, self.parts))


@pytest.fixture(scope="module")
def case():
    """A model, its quantized form, photos in batches, and the streams of both after the last block."""
    model = float_model(num_classes=6).module
    photos = np.split(smooth_photos(model.config.image_size, 12), 3)
    with torch.inference_mode():
        quantized, _ = quantize_model(model, photos, replace(OURS, guard_photos=0), 1)
        pixels = Stream([torch.from_numpy(np.ascontiguousarray(part)) for part in photos])
        streams = []
        for index in pixels.batches:
            x = quantized.embed(pixels[index])
            for block in quantized.blocks:
                x = block(x)
            streams.append(x)
    return model, quantized, pixels, Stream(streams)


def run(case, config):
    model, quantized, pixels, stream = case
    quantized.ends.norm, quantized.ends.feature = Affine(model.norm.weight, model.norm.bias), None
    with Workers(1) as workers, torch.inference_mode():
        exact = observe(model, pixels, config, workers)
        quantize_head(model, quantized, stream, exact, config, workers)
        pooled = torch.cat([quantized.pool(stream[index]) for index in stream.batches])
    return quantized.ends, pooled, exact.features


def test_the_mean_error_of_the_feature_is_removed(case):
    _, pooled, exact = run(case, OURS)
    assert float((pooled - exact).mean(dim=0).abs().max()) < 1e-5
    _, pooled, exact = run(case, replace(OURS, bias_correction=False))
    assert float((pooled - exact).mean(dim=0).abs().max()) > 1e-5


def test_compensated_rounding_of_the_head_has_the_smaller_error(case):
    errors = []
    for rounding in ("gptq", "nearest"):
        ends, pooled, _ = run(
            case, replace(OURS, weight_rounding=rounding, head_bits=4, bias_correction=False)
        )
        stored = ends.feature.stored(pooled)
        wanted = ends.feature.fake(pooled) @ case[0].head.weight.T + case[0].head.bias
        errors.append(float((ends.head.apply(stored) - wanted).square().sum()))
    assert errors[0] < errors[1] / 2


def test_all_logits_share_one_exponent(case):
    ends, _, _ = run(case, OURS)
    assert len(set(ends.head.log2_scale.tolist())) == 1


def test_the_feature_has_headroom_only_without_synthetic_ranges(case):
    wide, _, _ = run(case, replace(OURS, range_photos=0))
    coarse = wide.feature.log2_scale
    narrow, _, _ = run(case, OURS)
    assert bool((narrow.feature.log2_scale <= coarse).all())
