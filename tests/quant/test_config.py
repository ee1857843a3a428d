from dataclasses import replace

import pytest

from p2vit.errors import P2vitError
from p2vit.quant.config import METHODS, OURS, WIDE_CORRECTION, QuantConfig, method, parse_bits


def test_methods_by_name():
    assert method("p2vit") is OURS
    assert not METHODS["naive-float"].integer
    assert not METHODS["paper"].integer
    assert METHODS["p2vit-log2"].integer


def test_unknown_names_are_refused_with_a_hint():
    with pytest.raises(
        P2vitError, match=r"--method 'papr' is unknown\. Did you mean 'paper'\? Allowed: p2vit"
    ):
        method("papr")
    with pytest.raises(P2vitError, match=r"--bits 'w8' is not understood; allowed are w2a8 to w8a8"):
        parse_bits("w8")


@pytest.mark.parametrize(("text", "bits"), [("w8a8", 8), ("W4A8", 4)])
def test_bits(text, bits):
    assert parse_bits(text) == bits


def test_layers_may_have_widths_of_their_own():
    config = QuantConfig(weight_bits=8, layer_bits={"blocks.0.mlp.fc1": 4})
    assert config.bits_of("blocks.0.mlp.fc1") == 4
    assert config.bits_of("blocks.1.mlp.fc1") == 8


@pytest.mark.parametrize(
    ("config", "share"),
    [
        (OURS, WIDE_CORRECTION),
        (replace(OURS, weight_bits=4), 1),
        (replace(OURS, layer_bits={"blocks.0.mlp.fc1": 4}), 1),
        (replace(OURS, bias_correction=True), 1),
        (replace(OURS, bias_correction=False), 0),
        (replace(OURS, weight_bits=4, bias_correction=False), 0),
    ],
)
def test_wide_layers_absorb_a_share_of_their_mean_errors(config, share):
    assert config.correction_share == share


def test_the_form_of_the_softmax_codes_before_one_is_chosen():
    assert (OURS.softmax, OURS.first_softmax, OURS.integer) == ("auto", "linear", True)
    assert METHODS["p2vit-log2"].first_softmax == "log2"
