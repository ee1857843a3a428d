"""Accuracy control: widths are raised, most sensitive layers first, until program and float model agree."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from p2vit.data.benchmarks import open_photos
from p2vit.engine.registry import fastest
from p2vit.errors import P2vitError
from p2vit.models.options import LoadOptions
from p2vit.models.registry import load_model
from p2vit.numerics import Linear
from p2vit.program.format import program_sha256
from p2vit.quant.accuracy_control import AccuracyControl, Attempt, agreement, by_sensitivity, control_accuracy
from p2vit.quant.api import quantize
from p2vit.quant.config import OURS
from p2vit.quant.search.layers import searchable

NARROW = replace(OURS, weight_bits=2)


@pytest.fixture(scope="module")
def digits():
    """The model of the digits benchmark, 24 calibration photos and 128 others."""
    model = load_model("digits", LoadOptions())
    pixels = np.concatenate(list(open_photos("digits", model.preprocessing).calibration(152, 0)))
    return model, pixels[:24], pixels[24:]


def run(digits, max_drop, config=NARROW):
    model, calibration, held_out = digits
    made = []

    def make(chosen):
        made.append(chosen)
        return quantize(model, [calibration], chosen, threads=1)

    result, control = control_accuracy(model, (calibration, held_out), config, max_drop, make, threads=1)
    return result, control, made


def test_nothing_is_raised_where_the_first_program_holds(digits):
    result, control, made = run(digits, max_drop=20)
    assert made == [NARROW]
    assert control.holds
    assert control.attempts == (Attempt((), control.attempts[0].agreement),)
    plain = quantize(digits[0], [digits[1]], NARROW, threads=1)
    assert program_sha256(result.program) == program_sha256(plain.program)


def test_the_most_sensitive_layers_are_raised_until_it_holds(digits):
    model, calibration, held_out = digits
    first = run(digits, max_drop=100)[1].attempts[0].agreement
    assert first < 100, "the test needs a program that errs"
    result, control, made = run(digits, max_drop=0)
    assert control.holds
    raised = control.attempts[control.taken].raised
    order = by_sensitivity(model, calibration, held_out, NARROW, 1, lambda *_: None)
    assert raised
    assert list(raised) == order[: len(raised)]
    assert dict(made[-1].layer_bits) == dict.fromkeys(raised, 8)
    linear_nodes = [node for node in result.program.nodes if isinstance(node.operator, Linear)]
    widths = {node.name: node.operator.weight_bits for node in linear_nodes}
    for layer in searchable(model.config):
        assert widths[layer.name] == (8 if layer.name in raised else 2)


def test_the_first_layer_is_the_one_whose_width_alone_harms_most(digits):
    """Quantized again with one layer at 2 bits: the first in the order has more error than the last."""
    model, calibration, held_out = digits
    order = by_sensitivity(model, calibration, held_out, NARROW, 1, lambda *_: None)
    assert sorted(order) == sorted(layer.name for layer in searchable(model.config))

    def noise(name):
        program = quantize(model, [calibration], replace(OURS, layer_bits={name: 2}), threads=1).program
        spec = program.tensors[program.feature]
        ours = spec.real(fastest(program, 1).run(held_out, [program.feature])[program.feature])
        with torch.inference_mode():
            exact = model.module.features(torch.from_numpy(held_out)).numpy()
        return float(((ours.reshape(exact.shape) - exact) ** 2).sum())

    assert noise(order[0]) > 2 * noise(order[-1])


def test_agreement_counts_equal_classes(digits):
    model, calibration, held_out = digits
    program = quantize(model, [calibration], OURS, threads=1).program
    logits = fastest(program, 1).run(held_out, [program.output])[program.output]
    own = logits.reshape(len(held_out), -1).argmax(axis=1)
    assert agreement(program, held_out, own, 1) == 100
    assert agreement(program, held_out, (own + 1) % 10, 1) == 0
    half = np.where(np.arange(len(own)) % 2, own, (own + 1) % 10)
    assert agreement(program, held_out, half, 1) == 50


def test_eight_bits_everywhere_leave_nothing_to_raise(digits):
    _, control, made = run(digits, max_drop=0, config=replace(OURS, weight_bits=8))
    assert len(made) == 1
    assert control.holds == (control.attempts[0].agreement == 100)


def test_the_best_program_is_taken_if_none_holds():
    attempts = (Attempt((), 90.0), Attempt(("a",), 96.0), Attempt(("a", "b"), 95.0))
    assert not AccuracyControl(1.0, 100, attempts, 1).holds
    assert AccuracyControl(4.0, 100, attempts, 1).holds


@pytest.mark.parametrize(("name", "words"), [("dinov2", "no classes"), ("random:siglip", "image embedding")])
def test_a_model_without_classes_is_refused(name, words, digits):
    if name == "dinov2":
        config = replace(digits[0].config, num_classes=0)
    else:
        config = replace(digits[0].config, embedding_dim=8)
    model = replace(digits[0], config=config, source=name)
    with pytest.raises(P2vitError, match=words):
        control_accuracy(model, (digits[1], digits[2]), OURS, 1.0, lambda chosen: None)
