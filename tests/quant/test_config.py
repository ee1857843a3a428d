import pytest

from p2vit.errors import P2vitError
from p2vit.quant.config import METHODS, OURS, QuantConfig, method, parse_bits


def test_methods_by_name():
    assert method("p2vit") is OURS
    assert not METHODS["naive-float"].integer
    assert not METHODS["paper"].integer
    assert METHODS["p2vit-log2"].integer
    assert {name: METHODS[f"p2vit-{name}"].first_softmax for name in ("linear", "log2")} == {
        "linear": "linear",
        "log2": "log2",
    }


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
